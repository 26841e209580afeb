"""Who was there first: why a JSON patch did not hold, from the object as it is now.

An API server says no more than that a test failed. The object tells which, and its ``metadata.managedFields`` who wrote
that field last; of a version that has passed, who wrote anything last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

VERSION = "/metadata/resourceVersion"

type Object = Mapping[str, Any]


def failed_test(one: Object, operations: Iterable[Object], own: str) -> str:
    """The first test that does not hold, with the last manager of that field but for our `own`; "" where all hold.

    The version comes last: where a person has changed a field, the operator has mostly written a status since.
    """
    tests = [operation for operation in operations if operation.get("op") == "test"]
    for test in sorted(tests, key=lambda test: test.get("path") == VERSION):
        path = str(test.get("path"))
        if (found := value_at(one, path)) == test.get("value"):
            continue
        writer = last_manager(one, path, own)
        said = (
            "it has changed since" if path == VERSION else f"{path} is {_shown(found)}, not {_shown(test.get('value'))}"
        )
        return said + (f": {writer} has written it" if writer else "")
    return ""


def _shown(value: object) -> str:
    return "unset" if value is None else repr(value)[:60]


def value_at(one: Object, path: str) -> Any:
    """What a JSON pointer leads to, None where nothing is.

    >>> value_at({"spec": {"groups": [{"a/b": 1}]}}, "/spec/groups/0/a~1b")
    1
    """
    here: Any = one
    for step in _steps(path):
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list) and step.isdigit() and int(step) < len(here):
            here = here[int(step)]
        else:
            return None
    return here


def last_manager(one: Object, path: str, own: str) -> str:
    """The manager, other than `own`, that wrote a field last; "" where nobody did or nobody knows."""
    entries = [
        entry
        for entry in one.get("metadata", {}).get("managedFields") or ()
        if entry.get("manager") != own and (path == VERSION or _owns(entry.get("fieldsV1") or {}, _steps(path)))
    ]
    entries.sort(key=lambda entry: entry.get("time") or "")
    return str(entries[-1].get("manager") or "") if entries else ""


def _owns(fields: Object, steps: list[str]) -> bool:
    """Whether the fields that a manager owns have this one; a list is owned whole, or by entries that are not told."""
    here: Any = fields
    for step in steps:
        if not here or step.isdigit():
            return True
        if f"f:{step}" not in here:
            return False
        here = here[f"f:{step}"]
    return True


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.removeprefix("/").split("/")]
