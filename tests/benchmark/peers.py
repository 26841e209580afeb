"""Emulations of two autoscalers, written from their rules: what they would pay for the demand that raypipe plans.

They are emulations, not the programs: one batch of pods, no launch failures, no consolidation afterwards, no limits of
the cloud's API. Both see the same shapes, offerings and prices as the plan.

**Karpenter-like first fit** (`scheduler.go` and `queue.go` of kubernetes-sigs/karpenter 1.x). Pods by cpu, then memory,
descending. Each goes to the in-flight node with the fewest pods that has any instance type left which holds all its
pods and is compatible with all of them; else to a new node of the first NodePool by weight that can hold it. In the end
each node becomes the cheapest type left. `tuned_pools` is the best set-up found for it: a spot pool before an on-demand
pool, types of at most 32 vCPU. `plain_pools` is the NodePool of its getting-started page (c, m and r, generation 3 and
later, both capacity types), where one pod that must not run on spot makes a whole big node on-demand. In both, pods
that fit none of it fall through to pools of everything.

**Cluster Autoscaler-like** with the price expander (`expander/price/price.go`, `expander/price/preferred.go`,
`estimator/binpacking_estimator.go`), with every offering as a node group of its own. Each scale-up estimates for each
group, by first fit decreasing, the nodes that its pods would need (at most 1,000), and buys the group of least ::

    score = (1 + (unfitness − 1) (1 − tanh((nodes − 1) / 15))) · (nodes · price + s) / (Σ pod prices + s)

with unfitness = how far the group's vCPUs are from the preferred node's (which grows with the cluster), 1000 instead of
the whole first factor for nodes with GPUs, s the price of a pod of 500 m and 500 MiB. Pods are priced by the constants
of its GCE price model, as there is none for AWS. Groups that are in no way better than another of as many vCPUs are
left out first.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from raypipe.model.resources import CPU, MEMORY
from tests.benchmark.world import (
    Bools,
    Floats,
    Ints,
    World,
    dealt_to_zones,
    is_gpu,
    theoretical_price,
    undominated,
)

TUNED_VCPUS = 32
CPU_USD, GIB_USD, GPU_USD = 0.033174, 0.004446, 0.700
"""$/h of a vCPU, a GiB and a GPU in `cloudprovider/gce/gce_price_info.go`."""
STABILIZATION_USD = 0.5 * CPU_USD + 500 / 1024 * GIB_USD
GPU_UNFITNESS = 1000.0
MOST_NODES_A_SCALE_UP = 1000
PREFERRED_VCPUS = ((2, 1), (6, 2), (20, 4), (60, 8), (200, 16), (math.inf, 32))
"""vCPUs of the preferred node while the cluster has at most so many nodes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bought:
    """Nodes in the order in which they were opened: kind (N,) and pods of each shape (N, K) of `world`."""

    world: World
    kinds: Ints
    pods: Ints

    @property
    def usd_per_hour(self) -> float:
        return float(self.world.price[self.kinds].sum())

    def wrong(self) -> list[str]:
        """What of the world it breaks; an emulation that cheats would flatter its peer."""
        problems = []
        if (self.pods.sum(axis=0) != self.world.demand).any():
            problems.append("pods are lost or made up")
        if (self.pods @ self.world.requests > self.world.capacity[self.kinds]).any():
            problems.append("a node holds more than it can")
        if ((self.pods > 0) & ~self.world.admits[:, self.kinds].T).any():
            problems.append("a pod stands where it is not admitted")
        if (self.pods > self.world.most).any():
            problems.append("a node holds too many pods of one Deployment")
        return problems


def tuned_pools(world: World) -> tuple[Bools, ...]:
    """Spot before on-demand, small before any size."""
    small = world.vcpus <= TUNED_VCPUS
    return (world.spot & small, ~world.spot & small, world.spot, ~world.spot)


def plain_pools(world: World) -> tuple[Bools, ...]:
    """The documented first NodePool, then everything."""
    generation, category = "karpenter.k8s.aws/instance-generation", ("c", "m", "r")
    usual = [one.category in category and int(one.labels.get(generation, "0")) > 2 for one in world.offerings]
    return (np.array(usual, dtype=bool), np.ones(len(usual), dtype=bool))


@dataclass(slots=True)
class _Choices:
    """Sets of kinds that nodes have left, by number: `masks` (each (J,)) and the largest rooms of each set."""

    world: World
    masks: list[Bools] = field(default_factory=list)
    rooms: list[Ints] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)

    def number(self, mask: Bools) -> int:
        """The number of a set of kinds."""
        mark = np.packbits(mask).tobytes()
        if mark not in self.numbers:
            self.numbers[mark] = len(self.masks)
            self.masks.append(mask)
            self.rooms.append(_largest(self.world.capacity[mask]))
        return self.numbers[mark]

    def copies(self, number: int, used: Ints, request: Ints) -> Ints:
        """How many pods of `request` still fit on nodes with `used` (N, R), whichever of the set they become."""
        asked, rooms = request > 0, self.rooms[number]
        if not len(rooms):
            return np.zeros(len(used), dtype=np.int64)
        free = rooms[None, :, :] - used[:, None, :]
        holds = (free >= 0).all(axis=2)
        copies = np.where(holds, (free[:, :, asked] // request[asked]).min(axis=2), 0)
        most: Ints = copies.max(axis=1)
        return most


def _largest(rooms: Ints) -> Ints:
    """The rooms that no other one covers."""
    rooms = np.unique(rooms, axis=0)
    covered = [(((rooms >= room).all(axis=1)) & (rooms > room).any(axis=1)).any() for room in rooms]
    return rooms[~np.array(covered, dtype=bool)]


def first_fit(world: World, *, tuned: bool = True) -> Bought:
    """Karpenter-like first fit; every pod of `world` must fit somewhere."""
    world = dealt_to_zones(world)
    fitting = _FirstFit(world, tuned_pools(world) if tuned else plain_pools(world))
    for k in np.lexsort((-world.amount(MEMORY), -world.amount(CPU))).tolist():
        fitting.place(k)
    return Bought(world=world, kinds=fitting.cheapest(), pods=fitting.pods)


class _FirstFit:
    """Nodes while they are being filled: `choice` (N,) the set of kinds left to each, `pods` (N, K)."""

    def __init__(self, world: World, pools: Sequence[Bools]) -> None:
        self._world, self._pools, self._fits = world, pools, world.fits
        self._choices = _Choices(world)
        self._choice = np.zeros(0, dtype=np.int64)
        self._used = np.zeros((0, world.requests.shape[1]), dtype=np.int64)
        self.pods = np.zeros((0, len(world.demand)), dtype=np.int64)

    def place(self, shape: int) -> None:
        """Give the pods of one shape to nodes in flight, then to new ones."""
        request, pods = self._world.requests[shape], int(self._world.demand[shape])
        room, narrowed = self._room(shape)
        in_flight = _fewest_first(self.pods.sum(axis=1), room, pods)
        pods -= int(in_flight.sum())
        taken = np.flatnonzero(in_flight)
        self._choice[taken] = [narrowed[c] for c in self._choice[taken].tolist()]
        new = self._opened(shape, pods) if pods else np.zeros(0, dtype=np.int64)
        added = np.concatenate((in_flight, new))
        self._used = np.concatenate((self._used, np.zeros((len(new), len(request)), dtype=np.int64)))
        self._used += added[:, None] * request
        self.pods = np.concatenate((self.pods, np.zeros((len(new), self.pods.shape[1]), dtype=np.int64)))
        self.pods[:, shape] += added

    def _room(self, shape: int) -> tuple[Ints, dict[int, int]]:
        """How many pods of the shape each node still takes, and what it could then become."""
        choices, room = self._choices, np.zeros(len(self._choice), dtype=np.int64)
        narrowed: dict[int, int] = {}
        for c in np.unique(self._choice).tolist():
            narrowed[c] = choices.number(choices.masks[c] & self._fits[shape])
            here = self._choice == c
            room[here] = choices.copies(narrowed[c], self._used[here], self._world.requests[shape])
        return np.minimum(room, self._world.most[shape]), narrowed

    def _opened(self, shape: int, pods: int) -> Ints:
        """Pods on each of the new nodes, of the first pool that can hold one."""
        request, fits = self._world.requests[shape], self._fits[shape]
        fresh = self._choices.number(next(pool & fits for pool in self._pools if (pool & fits).any()))
        empty = np.zeros((1, len(request)), dtype=np.int64)
        most = min(int(self._world.most[shape]), int(self._choices.copies(fresh, empty, request)[0]))
        nodes = -(-pods // most)
        self._choice = np.concatenate((self._choice, np.full(nodes, fresh)))
        new = np.full(nodes, most, dtype=np.int64)
        new[-1] = pods - (nodes - 1) * most
        return new

    def cheapest(self) -> Ints:
        """The cheapest kind left to each node that holds its pods, (N,)."""
        order = np.argsort(self._world.price, kind="stable")
        kinds = np.zeros(len(self._choice), dtype=np.int64)
        for node, choice in enumerate(self._choice.tolist()):
            left = order[self._choices.masks[choice][order]]
            holds = (self._world.capacity[left] >= self._used[node]).all(axis=1)
            kinds[node] = left[int(holds.argmax())]
        return kinds


def _fewest_first(held: Ints, room: Ints, pods: int) -> Ints:
    """Pods added to each node, one after the other to the node with the fewest that has room."""
    added = np.zeros_like(held)
    heap = [(int(held[n]), n) for n in np.flatnonzero(room).tolist()]
    heapq.heapify(heap)
    while pods and heap:
        count, node = heapq.heappop(heap)
        added[node] += 1
        pods -= 1
        if added[node] < room[node]:
            heapq.heappush(heap, (count + 1, node))
    return added


def price_expander(world: World) -> Bought:
    """Cluster Autoscaler-like scale-ups until every pod has a node; every pod must fit somewhere."""
    world = dealt_to_zones(world)
    world = world.only_kinds(undominated(world, within_sizes=True))
    pending, kinds, pods = world.demand.copy(), [], []
    estimates: dict[int, Ints] = {}
    fits, worth, gpu = world.fits, theoretical_price(world, CPU_USD, GIB_USD, GPU_USD), is_gpu(world)
    while pending.any():
        preferred = next(vcpus for nodes, vcpus in PREFERRED_VCPUS if len(kinds) <= nodes)
        least = _least_scores(world, fits, pending, worth, gpu)
        best, best_score = -1, math.inf
        for j in np.argsort(least, kind="stable").tolist():
            if least[j] > best_score or math.isinf(least[j]):
                break
            if j not in estimates:
                estimates[j] = _estimate(world, j, np.where(fits[:, j], pending, 0))
            score = _score(estimates[j], float(world.price[j]), float(world.vcpus[j]) / preferred, worth, bool(gpu[j]))
            if (score, j) < (best_score, best):
                best, best_score = j, score
        bought = estimates[best]
        taken = bought.sum(axis=0)
        pending -= taken
        kinds += [best] * len(bought)
        pods.append(bought)
        estimates = {j: one for j, one in estimates.items() if not (fits[:, j] & (taken > 0)).any()}
    return Bought(world=world, kinds=np.array(kinds, dtype=np.int64), pods=np.concatenate(pods))


def _least_scores(world: World, fits: Bools, pending: Ints, worth: Floats, gpu: Bools) -> Floats:
    """Scores that no scale-up of a group can undercut, (J,): its pods in as few nodes as their sums allow.

    Inf where a group helps nobody; 0, which says nothing, where its pods may need more nodes than one scale-up has.
    """
    wanted = fits * pending[:, None]
    nodes = np.ceil((wanted.T @ world.requests / np.maximum(1, world.capacity)).max(axis=1))
    spent = nodes * world.price + STABILIZATION_USD
    least = np.where(gpu, GPU_UNFITNESS, 1.0) * spent / (wanted.T @ worth + STABILIZATION_USD)
    least = np.where(nodes > MOST_NODES_A_SCALE_UP / 2, 0.0, least * (1 - 1e-9))
    return np.where(wanted.any(axis=0), least, np.inf)


def _score(pods: Ints, price: float, size: float, worth: Floats, gpu: bool) -> float:
    """The score of a scale-up with `pods` (N, K) on its nodes; `size`: vCPUs as a multiple of the preferred node's."""
    nodes = len(pods)
    unfitness = max(size, 1 / size)
    suppressed = 1 + (unfitness - 1) * (1 - math.tanh((nodes - 1) / 15))
    spent = nodes * price + STABILIZATION_USD
    return (GPU_UNFITNESS if gpu else suppressed) * spent / (float(pods.sum(axis=0) @ worth) + STABILIZATION_USD)


def _estimate(world: World, kind: int, pending: Ints) -> Ints:
    """Pods on each of the nodes that first fit decreasing opens for a group, (N, K).

    Decreasing by the sum of the shares of cpu and memory; at most 1,000 nodes.
    """
    capacity = world.capacity[kind]
    share = sum(world.amount(name) / max(1, capacity[world.resources.index(name)]) for name in (CPU, MEMORY))
    free = np.zeros((0, len(capacity)), dtype=np.int64)
    columns: list[tuple[int, Ints]] = []
    for k in np.argsort(-share, kind="stable").tolist():
        left = int(pending[k])
        if not left:
            continue
        request, asked = world.requests[k], world.requests[k] > 0
        room = np.minimum((free[:, asked] // request[asked]).min(axis=1), world.most[k])
        before = np.cumsum(room) - room
        added = np.clip(left - before, 0, room)
        left -= int(added.sum())
        whole = min(int((capacity[asked] // request[asked]).min()), int(world.most[k]))
        nodes = min(-(-left // whole), MOST_NODES_A_SCALE_UP - len(free))
        new = np.full(nodes, whole, dtype=np.int64)
        if nodes * whole > left:
            new[-1] = left - (nodes - 1) * whole
        added = np.concatenate((added, new))
        free = np.concatenate((free, np.tile(capacity, (nodes, 1)))) - added[:, None] * request
        columns.append((k, added))
    pods = np.zeros((len(free), len(pending)), dtype=np.int64)
    for k, column in columns:
        pods[: len(column), k] = column
    return pods
