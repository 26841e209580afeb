"""Kubernetes quantities and money, to and from integers in the smallest unit.

What is summed is an integer: cpu in millicores, memory and ephemeral-storage in bytes, everything else (pods, GPUs,
extended resources) in whole things, money in nano-dollars an hour. A fraction of the smallest unit rounds up, as in
Kubernetes (`resource.Quantity.MilliValue`, `.Value`). Units are blind: ``"0.5"`` and ``"500m"`` are the same cpu.

Amounts are limited to `LARGEST_AMOUNT`, so that a sum over 10^5 pods stays inside a 64-bit integer: a larger one
is somebody's typing error, and is refused rather than wrapped around.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, InvalidOperation

NANOS_PER_USD = 1_000_000_000
HOURS_PER_MONTH = 730
LARGEST_AMOUNT = 2**53
LARGEST_USD_PER_HOUR = 1_000_000

_SUFFIXES: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(
    r"([+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40}))(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)
_BINARY_UNITS = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
_BYTE_RESOURCES = frozenset({"memory", "ephemeral-storage", "storage"})


def parse_quantity(text: object, resource: str) -> int:
    """Read a Kubernetes quantity of `resource` as an integer in its smallest unit, rounding up.

    Raises ValueError with what was found and expected (no place: the caller knows it).

    >>> parse_quantity("500m", "cpu"), parse_quantity(0.5, "cpu"), parse_quantity("1Gi", "memory")
    (500, 500, 1073741824)
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{text!r}, expected a quantity such as '500m', '2' or '16Gi'")
    if isinstance(text, float) and not math.isfinite(text):
        raise ValueError(f"{text!r}, expected a finite quantity")
    if isinstance(text, int) and abs(text) > LARGEST_AMOUNT:
        raise ValueError(f"an integer of {text.bit_length()} bits, expected a quantity of at most {LARGEST_AMOUNT}")
    found = _QUANTITY.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"{str(text)[:80]!r}, expected a quantity such as '500m', '2' or '16Gi'")
    number, exponent, suffix = found.groups()
    value = Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]
    if resource == "cpu":
        value *= 1000
    if value < 0:
        raise ValueError(f"{text!r}, expected a quantity that is not negative")
    if value > LARGEST_AMOUNT:
        raise ValueError(f"{text!r}, expected a quantity of at most {LARGEST_AMOUNT} in the smallest unit")
    return int(value.to_integral_value(ROUND_CEILING))


def format_quantity(amount: int, resource: str) -> str:
    """Write an amount of `resource` in Kubernetes' canonical form.

    >>> format_quantity(7800, "cpu"), format_quantity(18 * 2**30, "memory"), format_quantity(4, "nvidia.com/gpu")
    ('7800m', '18Gi', '4')
    """
    if resource == "cpu":
        return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"
    if resource in _BYTE_RESOURCES and amount:
        for suffix, size in _BINARY_UNITS:
            if amount % size == 0:
                return f"{amount // size}{suffix}"
    return str(amount)


def parse_usd_per_hour(text: object) -> int:
    """Read dollars an hour (``"1.62"``, ``"$1.62/h"``, 1.62) as nano-dollars an hour.

    >>> parse_usd_per_hour("$1.62/h")
    1620000000
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{text!r}, expected dollars an hour such as '1.62'")
    bare = str(text).strip().removeprefix("$").removesuffix("/h").strip()
    try:
        value = Decimal(bare) if len(bare) <= 64 else Decimal("NaN")
    except InvalidOperation:
        raise ValueError(f"{text!r}, expected dollars an hour such as '1.62'") from None
    if not value.is_finite() or value < 0 or value > LARGEST_USD_PER_HOUR:
        raise ValueError(f"{str(text)[:80]!r}, expected dollars an hour between 0 and {LARGEST_USD_PER_HOUR}")
    return int((value * NANOS_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def usd(nanos: int) -> float:
    """Nano-dollars as dollars, for people and JSON.

    >>> usd(163_200_000)
    0.1632
    """
    return round(nanos / NANOS_PER_USD, 9)
