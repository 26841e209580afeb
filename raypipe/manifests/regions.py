"""Where a cluster is when nobody says: the default region of a provider and the default zones of a region."""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS = ("aws", "gcp", "azure")
DEFAULT_PROVIDER = "aws"
DEFAULT_REGION: Mapping[str, str] = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus"}
GCP_ZONES: Mapping[str, str] = {
    "us-central1": "abcf",
    "us-east1": "bcd",
    "europe-west1": "bcd",
}
"""Zone letters of the GCP regions that do not have a, b, c (cloud.google.com/compute/docs/regions-zones, 2026-11)."""


def default_zones(provider: str, region: str) -> tuple[str, ...]:
    """The zones taken where none is declared.

    >>> default_zones("aws", "us-east-1")[0], default_zones("gcp", "us-east1")[0], default_zones("azure", "eastus")[2]
    ('us-east-1a', 'us-east1-b', 'eastus-3')
    """
    if provider == "azure":
        return tuple(f"{region}-{number}" for number in (1, 2, 3))
    if provider == "gcp":
        return tuple(f"{region}-{letter}" for letter in GCP_ZONES.get(region, "abc"))
    return tuple(region + letter for letter in "abc")
