"""Prices as tables: types with what they cost, shapes against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from raypipe.report.amounts import ABSENT
from raypipe.report.layout import Column, Row, table

MOST_QUOTES = 20
INTERRUPTIONS = ("<5 %", "5-10 %", "10-15 %", "15-20 %", ">20 %")
"""How often spot capacity is interrupted within a month, by bucket."""


class Quoted(Protocol):
    """What a table of types needs to know of each (`raypipe.prices.Quote`)."""

    @property
    def provider(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def instance_type(self) -> str: ...
    @property
    def arch(self) -> str: ...
    @property
    def vcpu(self) -> float: ...
    @property
    def memory_gib(self) -> float: ...
    @property
    def gpu(self) -> str: ...
    @property
    def gpu_count(self) -> int: ...
    @property
    def on_demand_usd_per_hour(self) -> float | None: ...
    @property
    def spot_usd_per_hour(self) -> float | None: ...
    @property
    def interruption_bucket(self) -> int | None: ...
    @property
    def least_usd_per_hour(self) -> float: ...


class ShapeQuoted(Protocol):
    """What a table of shapes needs to know of each (`raypipe.prices.ShapeQuote`)."""

    @property
    def shape(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def capacity_type(self) -> str: ...
    @property
    def nodes(self) -> Mapping[str, int]: ...
    @property
    def usd_per_hour(self) -> float | None: ...
    @property
    def chosen(self) -> bool: ...
    @property
    def why_not(self) -> str | None: ...


def render_quotes(quotes: Sequence[Quoted], width: int | None = None) -> str:
    """Types and their prices, the cheapest first."""
    if not quotes:
        return "nothing on offer has so much room"
    columns = (
        Column(title="instance type"),
        Column(title="region"),
        Column(title="arch", expendable=True),
        Column(title="vCPU", right=True),
        Column(title="GiB", right=True),
        Column(title="gpu"),
        Column(title="on-demand", right=True),
        Column(title="spot", right=True),
        Column(title="interrupted", right=True, expendable=True),
        Column(title="$/vCPU-h", right=True, expendable=True),
    )
    lines = table(columns, [Row(cells=_cells(one)) for one in quotes[:MOST_QUOTES]], width)
    if len(quotes) > MOST_QUOTES:
        lines.append(f"  … and {len(quotes) - MOST_QUOTES:,} dearer (-o json lists all)")
    return "\n".join(lines)


def _cells(one: Quoted) -> tuple[str, ...]:
    bucket = one.interruption_bucket
    return (
        one.instance_type,
        f"{one.provider} {one.region}",
        one.arch,
        f"{one.vcpu:g}",
        f"{one.memory_gib:g}",
        f"{one.gpu_count or 'part of a'} {one.gpu}" if one.gpu else ABSENT,
        _dollars(one.on_demand_usd_per_hour),
        _dollars(one.spot_usd_per_hour),
        ABSENT if bucket is None else INTERRUPTIONS[bucket],
        f"{one.least_usd_per_hour / one.vcpu:.4f}",
    )


def _dollars(usd_per_hour: float | None) -> str:
    return ABSENT if usd_per_hour is None else f"{usd_per_hour:.4f}"


def render_shapes(quotes: Sequence[ShapeQuoted], width: int | None = None) -> str:
    """Shapes against each other, the cheapest first; those that cannot be had last, with the reason."""
    columns = (
        Column(title="shape"),
        Column(title="region"),
        Column(title="capacity"),
        Column(title="$/h", right=True),
        Column(title="nodes"),
    )
    return "\n".join(table(columns, [_shape(one) for one in quotes], width))


def _shape(one: ShapeQuoted) -> Row:
    place = f"{one.provider} {one.region}"
    if one.usd_per_hour is None:
        return Row(cells=(one.shape, place, one.capacity_type, ABSENT), remark=one.why_not or "")
    nodes = ", ".join(f"{count} × {name}" for name, count in sorted(one.nodes.items()))
    remark = "CHOSEN" if one.chosen else one.why_not or ""
    return Row(cells=(one.shape, place, one.capacity_type, f"{one.usd_per_hour:.4f}", nodes), remark=remark)
