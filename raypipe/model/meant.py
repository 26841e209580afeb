"""The annotation ``raypipe.io/pods``: for which pods a node was bought, written on its claim and read from its node.

Its value is a JSON mapping from pod keys, as plans call them, to

* a count: so many pods of the key, whichever they are and whether they exist yet or not, or
* an object ``{"uids": […], "count": n}``: the pods with these uids, and `n` more that did not exist yet.

    {"Deployment/shop/web": {"uids": ["6f1c…", "a03b…"], "count": 1}, "RayCluster/ml/demo/worker/small": 4}

A plan knows keys and writes counts; who buys for pods that live writes their uids, because only a uid tells a pod that
was planned here from one that came later under the same key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

MEANT_PODS = "raypipe.io/pods"
EXPECTED = 'a JSON mapping of key to count, or to uids and count, as {"Deployment/a/b": {"uids": ["6f1c"], "count": 2}}'

type Count = Annotated[int, msgspec.Meta(ge=0)]


class Meant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pods of one key that a node is meant for: these, and so many more."""

    uids: tuple[str, ...] = ()
    count: Count = 0


NOBODY = "{}"
"""The annotation of a node whose pods are bound or given up: its claim still names them."""


def meant_text(counts: Mapping[str, int | Meant]) -> str:
    """The annotation for so many pods of each key, or for these.

    >>> meant_text({"Deployment/a/web": 2, "Deployment/a/db": 1})
    '{"Deployment/a/db":1,"Deployment/a/web":2}'
    >>> meant_text({"Deployment/a/web": Meant(uids=("6f1c",), count=1)})
    '{"Deployment/a/web":{"count":1,"uids":["6f1c"]}}'
    """
    return msgspec.json.encode(counts, order="sorted").decode()


def read_meant(text: str) -> dict[str, Meant]:
    """What the annotation says, in the order of keys; ValueError where it is no such mapping.

    >>> read_meant('{"Deployment/a/web": 2, "Deployment/a/db": {"uids": ["6f1c"]}}')
    {'Deployment/a/db': Meant(uids=('6f1c',), count=0), 'Deployment/a/web': Meant(uids=(), count=2)}
    """
    stated = msgspec.json.decode(text, type=dict[str, Count | Meant])
    return {key: one if isinstance(one, Meant) else Meant(count=one) for key, one in sorted(stated.items())}
