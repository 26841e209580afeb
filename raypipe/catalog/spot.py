"""Spot prices: estimated where the catalogue has none for a type, left out where they are too dear or too shaky.

Settings: `spot_price_ratio_estimate` (price = on-demand x ratio), `max_spot_price_ratio` (1.0 is off),
`max_spot_interrupt_bucket` (4 is off). An interruption bucket that is not known passes, and is counted in a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from raypipe.catalog.left_out import LeftOut
from raypipe.catalog.tables import Price
from raypipe.settings import Settings


def share(usd_nanos: int, ratio: float) -> int:
    """A fraction of a price, to the nano-dollar.

    >>> share(96_000_000, 0.3)
    28800000
    """
    return int((Decimal(usd_nanos) * Decimal(str(ratio))).to_integral_value(ROUND_HALF_EVEN))


def with_estimates(prices: Sequence[Price], settings: Settings) -> list[Price]:
    """The prices of one type in one region, and estimated spot prices where it has none."""
    ratio = settings.spot_price_ratio_estimate
    if ratio is None or any(price.capacity_type == "spot" for price in prices):
        return list(prices)
    return [*prices, *(_estimated(price, ratio) for price in prices)]


def _estimated(price: Price, ratio: float) -> Price:
    usd_nanos = share(price.usd_nanos_per_hour, ratio)
    return price._replace(capacity_type="spot", usd_nanos_per_hour=usd_nanos, interruption_bucket=None)


def spot_admitted(prices: Sequence[Price], settings: Settings, left_out: LeftOut) -> list[Price]:
    """The prices of one type in one region: spot estimated where there is none, what is too dear or shaky left out."""
    completed = with_estimates(prices, settings)
    if len(completed) > len(prices):
        message = f"spot: price estimated as {settings.spot_price_ratio_estimate:g} of on-demand where the catalogue "
        left_out.count("spot-price-estimated", message + "has none", len(prices))
    on_demand = {price.zone: price.usd_nanos_per_hour for price in prices if price.capacity_type == "on-demand"}
    return [
        price for price in completed if price.capacity_type != "spot" or _passes(price, on_demand, settings, left_out)
    ]


def _passes(price: Price, on_demand: Mapping[str, int], settings: Settings, left_out: LeftOut) -> bool:
    ratio, most = settings.max_spot_price_ratio, settings.max_spot_interrupt_bucket
    base = on_demand.get(price.zone, on_demand.get(""))
    if ratio < 1.0 and base is not None and price.usd_nanos_per_hour > share(base, ratio):
        left_out.count("spot-price-ratio", f"spot: dearer than {ratio:g} of on-demand is left out")
        return False
    if most < 4 and price.interruption_bucket is None:
        left_out.count("spot-interruption-unknown", f"spot: how often it is interrupted is not known, taken as {most}")
    if (price.interruption_bucket or 0) > most:
        left_out.count("spot-interruption", f"spot: interruption bucket above {most} is left out")
        return False
    return True
