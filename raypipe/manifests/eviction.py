"""Why a pod that runs may not be moved: each reason in words, because a node that stays for it has to say so.

A pod may be evicted where a controller makes it again elsewhere and nothing of it is lost. It may not where it says so
itself (``karpenter.sh/do-not-disrupt``, ``cluster-autoscaler.kubernetes.io/safe-to-evict: "false"``, Luna's
``pod.elotl.co/do-not-evict``), where a PodDisruptionBudget allows no disruption now, and, as with Cluster Autoscaler,
where no controller makes it again or it keeps data on the node (a hostPath, or an emptyDir on disk).
``safe-to-evict: "true"`` says that the last two do not matter. The head of a Ray cluster stays, too: without its GCS
all workers of the cluster end, which no price of one moved pod stands for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from raypipe.manifests.annotations import SAFE_TO_EVICT, protecting
from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.selectors import Conditions, label_selector
from raypipe.model.pods import BUDGET, NOT_MADE_AGAIN

RAY_NODE_TYPE = "ray.io/node-type"
RAY_HEAD = "the head of a Ray cluster"
LOCAL_STORAGE = "keeps data on the node"


class Eviction:
    """Says of each bound pod why it may not be moved."""

    def __init__(self, objects: Objects, *, move_local_storage: bool = False) -> None:
        self._move_local_storage = move_local_storage
        self._budgets: dict[str, list[tuple[str, Conditions]]] = defaultdict(list)
        for one in objects.of("PodDisruptionBudget"):
            selector = label_selector(one.spec.get("selector"))
            if selector is not None and _allows_nothing(one):
                self._budgets[one.namespace].append((one.name, selector))

    def held(self, pod: KubeObject) -> str:
        """Why the pod may not be moved, or nothing: it may."""
        stated = pod.root.plain("metadata", "annotations")
        annotations: Mapping[str, Any] = stated if isinstance(stated, dict) else {}
        word = protecting(annotations)
        if word is not None:
            return word
        if budget := self._budget(pod):
            return budget
        if annotations.get(SAFE_TO_EVICT) in ("true", True):
            return ""
        if pod.owner is None:
            return NOT_MADE_AGAIN
        if pod.label(RAY_NODE_TYPE) == "head":
            return RAY_HEAD
        return LOCAL_STORAGE if not self._move_local_storage and _keeps_data(pod.root) else ""

    def _budget(self, pod: KubeObject) -> str:
        """The PodDisruptionBudget that lets no such pod go."""
        budgets = self._budgets.get(pod.namespace)
        if not budgets:
            return ""
        labels = pod.labels.labels()
        for name, selector in budgets:
            if all(one.admits(labels) for one in selector):
                return f"{BUDGET} {name} allows no disruption"
        return ""


def _allows_nothing(budget: KubeObject) -> bool:
    """Whether no pod of it may go now; from a file, which has no status, whether none ever may."""
    allowed = budget.status.get("disruptionsAllowed")
    if allowed.value is not None:
        return allowed.integer(0) == 0
    most, least = budget.spec.get("maxUnavailable").value, budget.spec.get("minAvailable").value
    return most in (0, "0", "0%") or least == "100%"


def _keeps_data(pod: Field) -> bool:
    """Whether a volume is of the node itself; an emptyDir in memory holds nothing that outlives its pod anyway."""
    volumes = pod.plain("spec", "volumes")
    for one in volumes if isinstance(volumes, list) else ():
        if not isinstance(one, dict):
            continue
        if one.get("hostPath") is not None:
            return True
        empty = one.get("emptyDir")
        if "emptyDir" in one and not (isinstance(empty, dict) and empty.get("medium") == "Memory"):
            return True
    return False
