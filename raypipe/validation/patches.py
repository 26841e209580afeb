"""JSON patches tried on what is known of their object: does every test hold, and is what is written tested before?

The object is known in part (a snapshot keeps what a plan needs of it), so an operation that leads where nothing is
known is wrong, too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def tried(operations: Iterable[Mapping[str, Any]], document: dict[str, Any]) -> Iterator[str]:
    """Carry a patch out on the document, which is changed, and say what does not hold."""
    tested: set[str] = set()
    for operation in operations:
        path = str(operation.get("path", ""))
        try:
            place, key = _place(document, path)
            there = place.get(key) if isinstance(place, dict) else place[key]
            if operation["op"] == "test":
                tested.add(path)
                if there != operation["value"]:  # a test for null holds where nothing is, as it does for API servers
                    yield f"{path} is {there!r}, not {operation['value']!r}"
                continue
            if path not in tested:
                yield f"{path} is written without a test of its old value"
            if operation["op"] == "remove":
                del place[key]
            else:
                place[key] = copy.deepcopy(operation["value"])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            yield f"{operation.get('op')} at {path}, where nothing is"


def tests_of(operations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a patch tests, by path."""
    return {str(one.get("path")): one.get("value") for one in operations if one.get("op") == "test"}


def _place(document: dict[str, Any], path: str) -> tuple[Any, Any]:
    """The mapping or list that a pointer leads into, and the last step."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.removeprefix("/").split("/")]
    place: Any = document
    for step in steps[:-1]:
        place = place[int(step)] if isinstance(place, list) else place[step]
    return place, int(steps[-1]) if isinstance(place, list) else steps[-1]
