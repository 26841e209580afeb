"""What an offering costs: list price x multiplier + what unlimited mode bills a burstable type under steady load.

Burstable types (T2, T3, T3a, T4g) earn credits for a baseline; under steady load the vCPUs above it are billed apart,
on spot too. Baselines and surcharges are facts (``data/burstable.csv``). Shared-core types of other clouds have no such
mode and cannot be priced for steady load.
"""

from __future__ import annotations

import csv
import re
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path

from raypipe.model.nodes import InstanceType
from raypipe.quantities import NANOS_PER_USD
from raypipe.settings import Settings

FACTS = Path(__file__).parent / "data" / "burstable.csv"
_SHARED_CORE = re.compile(r"(e2-(micro|small|medium)|f1-micro|g1-small)$|Standard_B\d")


@cache
def _baselines() -> dict[tuple[str, str, str], tuple[Decimal, Decimal]]:
    """Baseline (percent of a vCPU) and surcharge ($ a vCPU-hour) by provider, family and size."""
    with FACTS.open(newline="", encoding="utf-8") as lines:
        return {
            (row["provider"], row["family"], row["size"]): (
                Decimal(row["baseline_percent_a_vcpu"]),
                Decimal(row["usd_per_vcpu_hour"]),
            )
            for row in csv.DictReader(lines)
        }


def is_burstable(kind: InstanceType) -> bool:
    """Whether the type runs at full speed only on credit."""
    if kind.provider == "aws":
        return kind.category == "t"
    return _SHARED_CORE.match(kind.name) is not None


def surcharge_usd_nanos(kind: InstanceType) -> int | None:
    """What steady load costs above list price, nano-dollars an hour; None where the type's baseline is not known."""
    fact = _baselines().get((kind.provider, kind.family, kind.name.partition(".")[2]))
    if fact is None:
        return None
    baseline_percent, usd_per_vcpu = fact
    above = Decimal(kind.vcpu_millicores) / 1000 * (1 - baseline_percent / 100)
    return int((above * usd_per_vcpu * NANOS_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def running_usd_nanos(list_usd_nanos: int, kind: InstanceType, settings: Settings) -> int:
    """What a node costs while it is there, bought by whomever: also of types that the settings never buy."""
    price = list_usd_nanos
    if settings.price_multiplier != 1.0:
        exact = Decimal(list_usd_nanos) * Decimal(str(settings.price_multiplier))
        price = int(exact.to_integral_value(ROUND_HALF_EVEN))
    if settings.burstable == "list" or not is_burstable(kind):
        return price
    return price + (surcharge_usd_nanos(kind) or 0)


def usd_nanos(list_usd_nanos: int, kind: InstanceType, settings: Settings) -> int | None:
    """The price that sums and limits use; None where the type is left out (`burstable` setting)."""
    is_bought = settings.burstable == "sustained" and surcharge_usd_nanos(kind) is not None
    if is_burstable(kind) and settings.burstable != "list" and not is_bought:
        return None
    return running_usd_nanos(list_usd_nanos, kind, settings)
