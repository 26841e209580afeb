"""Numbers as people read them: money, shares, counts."""

from __future__ import annotations

from raypipe.quantities import HOURS_PER_MONTH

ABSENT = "–"


def money(usd: float) -> str:
    """Dollars, with the digits that matter: cents for large sums, four decimals for small ones, never rounded to 0.

    >>> money(12.34), money(1234.5), money(0.0213), money(1.6), money(0.00002), money(0)
    ('$12.34', '$1,234.50', '$0.0213', '$1.60', '$0.00002', '$0.00')
    """
    size = abs(usd)
    if size == 0 or size >= 10:
        text = f"{size:,.2f}"
    elif size < 0.001:
        text = f"{size:.9f}".rstrip("0")
    else:
        text = f"{size:.4f}"
        text = text[:-2] if text.endswith("00") else text
    return ("-$" if usd < 0 else "$") + text


def hourly(usd: float) -> str:
    """Dollars an hour.

    >>> hourly(0.36)
    '$0.36/h'
    """
    return f"{money(usd)}/h"


def monthly(usd_per_hour: float) -> str:
    """Dollars a month of 730 hours, whole dollars from ten up.

    >>> monthly(12.34), monthly(0.001)
    ('$9,008 a month', '$0.73 a month')
    """
    amount = usd_per_hour * HOURS_PER_MONTH
    return f"${amount:,.0f} a month" if amount >= 10 else f"{money(amount)} a month"


def percent(fraction: float) -> str:
    """A share in percent, never rounded to nothing.

    >>> percent(0.0115), percent(0.000001), percent(0.3)
    ('1.15 %', '0.0001 %', '30 %')
    """
    value = 100 * fraction
    digits = 2 if abs(value) >= 0.01 else 4
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") + " %"


def share(used: int, room: int) -> str:
    """How full something is, or a dash where there is nothing to fill.

    >>> share(97, 100), share(0, 0)
    ('97%', '–')
    """
    return f"{100 * used / room:.0f}%" if room else ABSENT


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "pod"), counted(1000, "pod")
    ('1 pod', '1,000 pods')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
