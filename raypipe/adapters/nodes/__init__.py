"""How nodes are bought: one small Protocol, and who implements it, each knowing one way.

A plan's BuyNode names its object, complete and with its final name. A backend makes it so that to buy the same twice
buys once, also where a loop was killed in between, and says nothing of its own about what to buy.
"""

from raypipe.adapters.nodes.backend import NodeBackend, TakenNameError
from raypipe.adapters.nodes.karpenter import Karpenter
from raypipe.adapters.nodes.kwok import Kwok
from raypipe.adapters.nodes.printed import Printed

__all__ = ["Karpenter", "Kwok", "NodeBackend", "Printed", "TakenNameError"]
