"""JSON patches carried out as Kubernetes' API server does."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

MISSING = object()


class PatchRefusedError(Exception):
    """A test of the patch does not hold, or something is written where nothing is (HTTP 422)."""


def patched(document: Any, operations: Iterable[Mapping[str, Any]]) -> Any:
    """What becomes of a document; a test for null holds where nothing is, in a place that there is."""
    document = copy.deepcopy(document)
    for operation in operations:
        *way, last = (step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:])
        place = document
        for step in way:
            place = _inside(place, step, operation)
        there = place[int(last)] if isinstance(place, list) else place.get(last, MISSING)
        match operation["op"]:
            case "test":
                if there != operation["value"] and not (there is MISSING and operation["value"] is None):
                    raise PatchRefusedError(operation, there)
            case "remove":
                if there is MISSING:
                    raise PatchRefusedError(operation)
                del place[last]
            case "add":
                place[last] = copy.deepcopy(operation["value"])
            case other:
                raise PatchRefusedError(other)
    return document


def _inside(place: Any, step: str, operation: Mapping[str, Any]) -> Any:
    try:
        return place[int(step)] if isinstance(place, list) else place[step]
    except (KeyError, IndexError, ValueError) as error:
        raise PatchRefusedError(operation) from error
