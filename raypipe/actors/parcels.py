"""Parcels: a call packed for another process, its large values left out and named by their digest.

What a plan is made from is large and the same again and again: a catalogue serves every cluster, and a cluster is
planned more than once where the fleet shares a limit. So a parcel holds the call alone. Snapshots and catalogues in it
are *references*: the receiver says which of them it lacks, and only those are sent. As equal values have equal digests,
two parcels with the same bytes ask the same question: their digest is what a memo remembers an answer by.

Plans and snapshots are packed as MessagePack and compressed: 1,000 pods of 100 groups are 4 KB, their plan is 20 KB.

What is large goes in parts of `PART_BYTES`, one after the other, so that no fleet sits in the object store as a whole.

Refused: pickled model values (three times the time, and bytes that depend on which strings happen to be one object),
and the object store for each cluster (thousands of entries to keep count of, for what fits into the call).
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from raypipe.actors.kept import Kept
from raypipe.catalog import Catalog
from raypipe.model.plan import ClusterPlan
from raypipe.model.snapshot import ClusterSnapshot

_LEVEL = 1
"""Of compression: the quickest; the next ones save a tenth for twice the time."""


PART_BYTES = 4 * 2**20
"""Sent at once: of snapshots, of answers, and of one answer that is larger."""


class Stop:
    """Whether a request shall end soon. A parcel leaves it out; whoever unpacks it puts in its own."""

    def __init__(self, request: str = "", asked: Callable[[str], bool] = lambda _: False) -> None:
        self._request, self._asked = request, asked

    def __call__(self) -> bool:
        return self._asked(self._request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A packed value: its bytes, and the digests of the snapshots and catalogues that it refers to."""

    payload: bytes
    clusters: tuple[str, ...] = ()
    catalogs: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Equal for parcels that ask the same question."""
        return digest_of(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A parcel with what it refers to, as the sender has it; `subject`: the first cluster in it."""

    parcel: Parcel
    clusters: Mapping[str, ClusterSnapshot]
    catalogs: Mapping[str, Catalog]
    subject: ClusterSnapshot | None

    def sent(self, digests: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """These clusters as a receiver keeps them; compressed only now, because most are never asked for."""
        for digest in digests:
            yield digest, zlib.compress(msgspec.msgpack.encode(self.clusters[digest]), _LEVEL)


@dataclass(frozen=True, slots=True)
class Same:
    """The answer to one who has the answer already."""


@dataclass(frozen=True, slots=True)
class Large:
    """The answer that is there and has so many bytes: it is fetched in parts."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The answer to a parcel that refers to what the receiver does not have."""

    clusters: tuple[str, ...]
    catalogs: tuple[str, ...]


def pack(value: Any) -> Packed:
    """Pack a call; snapshots, catalogues and the `Stop` in it become references."""
    buffer = io.BytesIO()
    packer = _References(buffer, protocol=pickle.HIGHEST_PROTOCOL)
    packer.dump(value)
    parcel = Parcel(
        payload=zlib.compress(buffer.getvalue(), _LEVEL),
        clusters=tuple(packer.clusters),
        catalogs=tuple(packer.catalogs),
    )
    return Packed(parcel=parcel, clusters=packer.clusters, catalogs=packer.catalogs, subject=packer.subject)


def pack_whole(value: Any) -> bytes:
    """Pack an answer, which refers to nothing."""
    buffer = io.BytesIO()
    _Packer(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return zlib.compress(buffer.getvalue(), _LEVEL)


def digest_of(payload: bytes) -> str:
    """What a packed answer is known by."""
    return hashlib.sha256(payload).hexdigest()


def unpack_whole(payload: bytes) -> Any:
    """The answer that `pack_whole` packed."""
    return pickle.loads(zlib.decompress(payload))


class Shelf:
    """What a receiver has of the snapshots and catalogues that parcels refer to."""

    def __init__(self, *, most_bytes: int = 2**28, most_catalogs: int = 4) -> None:
        self._clusters = Kept[bytes](most=most_bytes, size=len)
        self._catalogs = Kept[Catalog](most=most_catalogs)

    def keep(self, clusters: Mapping[str, bytes], catalogs: Mapping[str, Catalog]) -> None:
        """Take in what was missing."""
        for digest, data in clusters.items():
            self._clusters.keep(digest, data)
        for digest, catalog in catalogs.items():
            self._catalogs.keep(digest, catalog)

    def missing(self, parcel: Parcel) -> Missing | None:
        """What the parcel refers to and is not here; None where all is."""
        clusters = tuple(digest for digest in parcel.clusters if digest not in self._clusters)
        catalogs = tuple(digest for digest in parcel.catalogs if digest not in self._catalogs)
        return Missing(clusters=clusters, catalogs=catalogs) if clusters or catalogs else None

    def unpack(self, parcel: Parcel, stop: Stop) -> Any:
        """The value that was packed, `stop` in the place of the sender's."""
        return _Unpacker(io.BytesIO(zlib.decompress(parcel.payload)), self._clusters, self._catalogs, stop).load()


class _Packer(pickle.Pickler):
    """Model values as MessagePack."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is ClusterPlan or type(value) is ClusterSnapshot:
            return _decoded, (msgspec.msgpack.encode(value), type(value))
        return NotImplemented


class _References(_Packer):
    """… and the large ones by their digest."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.clusters: dict[str, ClusterSnapshot] = {}
        self.catalogs: dict[str, Catalog] = {}
        self.subject: ClusterSnapshot | None = None

    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        match value:
            case ClusterSnapshot():
                self.subject = self.subject or value
                return "cluster", self._cluster(value)
            case Catalog():
                self.catalogs[value.digest] = value
                return "catalog", value.digest
            case Stop():
                return "stop", ""
        return None

    def _cluster(self, cluster: ClusterSnapshot) -> str:
        digest = hashlib.sha256(msgspec.msgpack.encode(cluster)).hexdigest()
        self.clusters[digest] = cluster
        return digest


def _decoded[T](encoded: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(encoded, type=kind)


class _Unpacker(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, clusters: Mapping[str, bytes], catalogs: Mapping[str, Catalog], stop: Stop
    ) -> None:
        super().__init__(file)
        self._clusters, self._catalogs, self._stop = clusters, catalogs, stop
        self._decoded: dict[str, ClusterSnapshot] = {}  # one object here for one there

    def persistent_load(self, reference: tuple[str, str]) -> Any:
        kind, digest = reference
        match kind:
            case "cluster":
                if digest not in self._decoded:
                    self._decoded[digest] = _decoded(zlib.decompress(self._clusters[digest]), ClusterSnapshot)
                return self._decoded[digest]
            case "catalog":
                return self._catalogs[digest]
        return self._stop
