"""What can be bought: tables of instance types and prices, who may use what, and the filters that decide it."""

from raypipe.catalog.buyers import as_karpenter_reads, karpenters_view, one_buyer
from raypipe.catalog.existing import ExistingNode, existing_nodes
from raypipe.catalog.filters import Filters
from raypipe.catalog.market import Market, offerings_for
from raypipe.catalog.tables import Catalog, Price, load

__all__ = [
    "Catalog",
    "ExistingNode",
    "Filters",
    "Market",
    "Price",
    "as_karpenter_reads",
    "existing_nodes",
    "karpenters_view",
    "load",
    "offerings_for",
    "one_buyer",
]
