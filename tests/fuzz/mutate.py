# ruff: noqa: E501  (odd values and documents, one a line)
"""Mutations of text and of trees: what users, tools and attackers do to files."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import yaml

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 2**64, 10**40, -(10**40), 1.5, -0.5, 1e308, 1e-300, float("nan"),
    float("inf"), "", " ", "-1", "NaN", ".inf", "1e400", "1E3", "0x10", "1_000", "12Xi", "500m", "99999999999Ei", "1n",
    "null", "~", "yes", "\u0000", "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"), "ü" * 50,
    "a" * 5000, [], [[]], [None], {}, {"": ""}, {"a": None}, "(a+)+$", "^*.xlarge$", "((((((a*)*)*)*)*)*)*b", "[", "(?P<n>",
    "{{ .Values.x }}", "*", "&a", "!!python/object:os.system x", "2026-01-05", "12:30:45", "Infinity", b"\xff\xfe".decode("latin1"),
)  # fmt: skip
SNIPPETS = (
    "\t", "\x00", "\x07", "---", "...", "%YAML 9.9", "!!binary", "!!set", "&x", "*x", "<<: *x", "? ", "- - - -", "{", "}", "[",
    "]", "'", '"', "|", ">", "#", "@", "`", ": ", "\r", "\ufeff", "\u2028", "kind: Fleet", "apiVersion: 7", "<<: {a: b}",
)  # fmt: skip


def mutated_text(text: str, draw: random.Random) -> bytes:
    """One to four edits of a text; sometimes bytes that are no text at all."""
    for _ in range(draw.randint(1, 4)):
        text = draw.choice(TEXT_EDITS)(text, draw)
    data = text.encode("utf-8", "replace")
    if draw.random() < 0.05:
        place = draw.randrange(len(data) + 1)
        data = data[:place] + bytes(draw.randrange(256) for _ in range(8)) + data[place:]
    return data


def _lines(text: str, draw: random.Random, edit: Callable[[list[str], int], None]) -> str:
    lines = text.split("\n")
    edit(lines, draw.randrange(len(lines)))
    return "\n".join(lines)


def _drop(text: str, draw: random.Random) -> str:
    return _lines(text, draw, lambda lines, at: lines.pop(at) and None)


def _double(text: str, draw: random.Random) -> str:
    return _lines(text, draw, lambda lines, at: lines.insert(at, lines[at]))


def _swap(text: str, draw: random.Random) -> str:
    def edit(lines: list[str], at: int) -> None:
        other = draw.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]

    return _lines(text, draw, edit)


def _indent(text: str, draw: random.Random) -> str:
    spaces = " " * draw.randint(1, 9)
    return _lines(text, draw, lambda lines, at: lines.__setitem__(at, spaces + lines[at].lstrip()))


def _insert(text: str, draw: random.Random) -> str:
    place = draw.randrange(len(text) + 1)
    return text[:place] + draw.choice(SNIPPETS) + text[place:]


def _cut(text: str, draw: random.Random) -> str:
    return text[: draw.randrange(len(text) + 1)]


def _bomb(text: str, draw: random.Random) -> str:
    return draw.choice(
        (BOMB, "a: &a [*a]", "[" * 20_000, "{a: " * 5_000, "- " * 3_000, "&a [*a, *a]", "x: " + "9" * 5000)
    ) + ("\n---\n" + text if draw.random() < 0.5 else "")


TEXT_EDITS = (_drop, _double, _swap, _indent, _insert, _insert, _cut, _bomb)


def mutated_tree(text: str, draw: random.Random) -> bytes:
    """One to three values of one document put in place of others, removed, renamed, nested or multiplied."""
    documents = list(yaml.safe_load_all(text))
    for _ in range(draw.randint(1, 3)):
        number = draw.randrange(len(documents))
        documents[number] = _changed(documents[number], draw)
    return yaml.safe_dump_all(documents, allow_unicode=True).encode("utf-8", "replace")


def _changed(tree: Any, draw: random.Random) -> Any:
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return draw.choice(VALUES)
    parent, key = draw.choice(places)
    match draw.randrange(6):
        case 0 | 1 | 2:
            parent[key] = draw.choice(VALUES)
        case 3:
            del parent[key]
        case 4 if isinstance(parent, dict):
            name = str(key)
            parent[name[: len(name) // 2] + name[len(name) // 2 + 1 :]] = parent.pop(key)
        case 5 if isinstance(parent, list):
            parent *= draw.choice((0, 2, 50))
        case _:
            parent[key] = [copy.deepcopy(parent[key])]
    return tree


def _places(tree: Any) -> Any:
    """(container, key) of every value below the root."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def mutated_table(text: str, draw: random.Random) -> bytes:
    """Cells, rows and columns of a CSV changed."""
    rows = [line.split(",") for line in text.strip().split("\n")]
    for _ in range(draw.randint(1, 4)):
        row = draw.choice(rows)
        match draw.randrange(5):
            case 0 | 1:
                row[draw.randrange(len(row))] = str(draw.choice(VALUES)).replace("\n", " ")[:200]
            case 2:
                row.append("x")
            case 3 if len(rows) > 1:
                rows.append(list(draw.choice(rows)))
            case _:
                row.pop(draw.randrange(len(row)))
        rows = [one for one in rows if one] or [[""]]
    data = "\n".join(",".join(row) for row in rows)
    return mutated_text(data, draw) if draw.random() < 0.2 else data.encode("utf-8", "replace")
