"""Text to plain values: YAML (by events of the C parser) and JSON. Input is not trusted.

An alias may not blow a document up (to more than `LARGEST_EXPANSION` times what is written, above a floor) or hold
itself; nothing nests deeper than `DEEPEST`; a key stands once in a mapping; numbers are finite; tags make no objects.
Timestamps stay text: no plan computes with them.

Decision: values are built from the parser's events instead of by PyYAML's loader. The loader recurses on the process's
own stack (deep input ends it), expands before anybody can look, keeps the last of two equal keys, and takes three times
as long.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Never

import yaml

from raypipe.manifests.lines import yaml_events
from raypipe.manifests.sources import Source, Step

DEEPEST = 100
LARGEST_EXPANSION = 10
EXPANSION_FLOOR = 100_000
LONGEST_NUMBER = 400
MOST_MEMORISED = 100_000
_MERGE = "<<"
_TOO_DEEP, _FLATTER = f"nesting deeper than {DEEPEST}", "a flatter document"


class _RefusedError(Exception):
    """The rest of the file cannot be read; the problem is noted already."""


def parsed(source: Source, data: bytes, is_json: bool) -> Iterator[Any]:
    """The documents of a text, None for one that is empty; problems are noted in the source."""
    if is_json:
        yield from _parsed_json(source, data)
        return
    try:
        yield from _Documents(source).of(data)
    except _RefusedError:
        return
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        if "nesting depth" in _words(error):  # libyaml counts levels itself from 0.2.6 on, before it tells of them
            source.problem(_TOO_DEEP, _FLATTER, line=line)
        else:
            source.problem(_words(error), "YAML in UTF-8", line=line)


def _words(error: Exception) -> str:
    words = getattr(error, "problem", None) or str(error) or type(error).__name__
    context = getattr(error, "context", None)
    return " ".join((f"{context}: {words}" if context else str(words)).split())[:200]


# JSON

_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that may be half of a surrogate pair, which is no text if it stands alone."""


class _Twice(dict[str, Any]):
    """A mapping that was written with a key twice."""

    key: str


def _parsed_json(source: Source, data: bytes) -> Iterator[Any]:
    odd: list[object] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        keys = sorted(key for key, _ in pairs)
        odd.append(twice := _Twice(made))
        twice.key = next(key for key, after in itertools.pairwise(keys) if key == after)
        return twice

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            odd.append(value)
        return value

    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=once, parse_constant=number, parse_float=number)
        if _HALF_CHARACTER.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        source.problem(error.msg, "JSON", line=error.lineno)
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        source.problem("too deep a nesting" if deep else _words(error), "JSON in UTF-8", line=1)
    else:
        if odd:
            _note_oddities(source, value)
        else:
            yield value


def _note_oddities(source: Source, root: Any) -> None:
    """Name the places of keys that stand twice and of numbers that are none."""
    stack: list[tuple[tuple[Step, ...], Any]] = [((), root)]
    while stack:
        steps, value = stack.pop()
        if isinstance(value, _Twice):
            source.problem(f"the key {value.key[:60]!r} twice", "it once", steps=(*steps, value.key))
        if isinstance(value, float) and not math.isfinite(value):
            source.problem(str(value), "a finite number", steps=steps)
        if isinstance(value, dict | list):
            below = value.items() if isinstance(value, dict) else enumerate(value)
            stack += [((*steps, key), one) for key, one in below if isinstance(one, dict | list | float)]


# YAML


@dataclass(slots=True)
class _Frame:
    """An open collection.

    Attributes:
        size: nodes in it, aliases counted in full. height: levels below it. key: of the value to come; None: a key
        comes next. merged: mappings that `<<` adds.
    """

    value: Any
    anchor: str | None
    size: int = 1
    height: int = 1
    key: str | None = None
    skip: bool = False
    merged: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Anchored:
    value: Any
    size: int
    height: int


class _Documents:
    """Builds one document after the other from the parser's events."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._number = -1
        self._written = self._aliased = 0
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._root: Any = None
        self._plain: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._reactions: dict[type[yaml.Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._begin,
        }

    def of(self, data: bytes) -> Iterator[Any]:
        reactions = self._reactions
        for event in yaml_events(data):
            kind = type(event)
            if kind in reactions:
                reactions[kind](event)
            elif kind is yaml.DocumentEndEvent:
                yield self._root
                self._root = None

    def _begin(self, _: yaml.Event) -> None:
        self._number += 1
        self._written = self._aliased = 0
        self._anchors.clear()

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._stack) >= DEEPEST:
            self._refuse(event, _TOO_DEEP, _FLATTER)
        if self._expects_key():
            self._refuse(event, "a key that is not text", "text")
        if event.anchor is not None:
            self._anchors[event.anchor] = None  # open: an alias to it would hold itself
        self._written += 1
        self._stack.append(_Frame({} if type(event) is yaml.MappingStartEvent else [], event.anchor))

    def _close(self, _: yaml.Event) -> None:
        frame = self._stack.pop()
        if frame.merged:
            for one in frame.merged:
                frame.value = {**one, **frame.value}
        if frame.anchor is not None:
            self._anchors[frame.anchor] = _Anchored(frame.value, frame.size, frame.height)
        self._put(frame.value, frame.size, frame.height)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = str(event.anchor)
        if name not in self._anchors:
            self._refuse(event, f"the alias *{name[:60]} of nothing", "an alias of what stands above it")
        anchored = self._anchors[name]
        if anchored is None:
            self._refuse(event, f"the alias *{name[:60]} within what it stands for", "a document without cycles")
        self._written += 1
        self._aliased += anchored.size
        if self._aliased > max(EXPANSION_FLOOR, LARGEST_EXPANSION * self._written):
            found = f"aliases that expand to {min(self._aliased, 10**15)} values and more"
            self._refuse(event, found, f"at most {LARGEST_EXPANSION} times what is written")
        if len(self._stack) + anchored.height > DEEPEST:
            self._refuse(event, _TOO_DEEP, _FLATTER)
        if self._expects_key():
            if not isinstance(anchored.value, str):
                self._refuse(event, "a key that is not text", "text")
            self._key(event, anchored.value)
            return
        self._put(anchored.value, anchored.size, anchored.height)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._written += 1
        if self._expects_key():
            self._key(event, event.value)
            return
        value = self._read(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, 1, 0)
        self._put(value, 1, 0)

    def _expects_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].key is None and type(self._stack[-1].value) is dict

    def _key(self, event: yaml.NodeEvent, key: str) -> None:
        frame = self._stack[-1]
        frame.key = key
        if key in frame.value:
            self._note(event, f"the key {key[:60]!r} twice", "it once")
            frame.skip = True

    def _put(self, value: Any, size: int, height: int) -> None:
        """Hand a finished value to the collection it stands in."""
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if frame.key is None:
            frame.value.append(value)
            return
        if frame.key == _MERGE:
            merged = value if isinstance(value, list) else [value]
            if not all(isinstance(one, dict) for one in merged):
                steps = self._steps()
                self._source.problem(f"{str(value)[:60]!r}", "mappings to merge", document=self._number, steps=steps)
            frame.merged += [one for one in merged if isinstance(one, dict)]
        elif not frame.skip:
            frame.value[frame.key] = value
        frame.key, frame.skip = None, False

    def _read(self, event: yaml.ScalarEvent) -> Any:
        """A scalar as YAML 1.1 resolves it; what is quoted is text."""
        text: str = event.value
        if event.implicit[0]:
            value = self._plain.get(text, self)
            if value is self:
                value = _resolved(text)
                if len(self._plain) < MOST_MEMORISED:
                    self._plain[text] = value
        elif event.tag in _KINDS:
            value = _as_kind(_KINDS[event.tag], text)
        else:
            return self._texts.setdefault(text, text) if len(self._texts) < MOST_MEMORISED else text
        if isinstance(value, float) and not math.isfinite(value):
            self._note(event, repr(text)[:60], "a finite number")
            return None
        return value

    def _note(self, event: yaml.Event, found: str, expected: str) -> None:
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        self._source.problem(found, expected, document=self._number, steps=self._steps(), line=line)

    def _steps(self) -> list[Step]:
        return [one.key if one.key is not None else len(one.value) for one in self._stack]

    def _refuse(self, event: yaml.Event, found: str, expected: str) -> Never:
        self._note(event, found, expected)
        raise _RefusedError


# scalars

_PREFIX = "tag:yaml.org,2002:"
_KINDS = {f"{_PREFIX}{kind}": kind for kind in ("null", "bool", "int", "float")}
_RESOLVERS = {
    first: [(_KINDS[tag], pattern) for tag, pattern in resolvers if tag in _KINDS]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
"""What plain text may be, by its first character: PyYAML's own table, without timestamps."""


def _resolved(text: str) -> Any:
    """A plain scalar: nothing, true or false, a number, else text."""
    for kind, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return _as_kind(kind, text)
    return text


def _as_kind(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    try:
        return _number(text, kind == "float")
    except (ValueError, OverflowError):
        return text


def _number(text: str, fraction: bool) -> int | float:
    """A YAML 1.1 number; sexagesimals stay text, as nobody means them."""
    bare = text.replace("_", "")
    if ":" in bare or len(bare) > LONGEST_NUMBER:
        raise ValueError(text)
    if fraction:
        return float(bare.lower().replace(".inf", "inf").replace(".nan", "nan"))
    sign = -1 if bare.startswith("-") else 1
    digits = bare.lstrip("+-").lower()
    if digits.startswith(("0x", "0b", "0o")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if len(digits) > 1 and digits.startswith("0") else 10)
