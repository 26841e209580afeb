"""Where in a file a field stands: looked up only for what is reported, all places of a file in one pass.

YAML is walked by its events and JSON by its values, so neither is built a second time and nothing recurses deeper than
the places that are asked for. A field that is absent has the line of the nearest one above it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

LONGEST_LOOKUP_BYTES = 20_000_000
"""Files larger than this (some seconds of reading) are reported without lines."""

type Steps = Sequence[str | int]


@dataclass(slots=True)
class _Place:
    """A field that is asked for, or one on the way to it."""

    line: int | None = None
    below: dict[str | int, _Place] = field(default_factory=dict)


def lines_of(path: Path, places: Iterable[tuple[int, Steps]]) -> list[int | None]:
    """The line of each place (number of the document, steps in it); None where it cannot be told."""
    wanted = list(places)
    roots: dict[int, _Place] = {}
    for number, steps in wanted:
        here = roots.setdefault(number, _Place())
        for step in steps:
            here = here.below.setdefault(step, _Place())
    try:
        if wanted and path.stat().st_size <= LONGEST_LOOKUP_BYTES:
            _look(path, roots)
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        pass  # what could be read before the error has its lines
    return [_deepest(roots[number], steps) for number, steps in wanted]


def line_of(path: Path, document: int, steps: Steps) -> int | None:
    """The line of one place."""
    return lines_of(path, [(document, steps)])[0]


def _deepest(root: _Place, steps: Steps) -> int | None:
    here, line = root, root.line
    for step in steps:
        here = here.below[step]
        line = here.line or line
    return line


def _look(path: Path, roots: dict[int, _Place]) -> None:
    data = path.read_bytes()
    if path.suffix == ".json":
        if 0 in roots:
            _JsonLines(data.decode("utf-8-sig")).walk(roots[0], 0)
        return
    _yaml_lines(data, roots)


class _JsonLines:
    """Descends into values that are asked for and skips the others at the decoder's speed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder(strict=False)
        self._space = re.compile(r"[ \t\r\n]*")
        self._at, self._line = 0, 1

    def walk(self, place: _Place, start: int) -> int:
        """Note the lines below the value that starts at `start`; the position after it."""
        start = self._past_space(start)
        place.line = place.line or self._line_at(start)
        opening = self._text[start : start + 1]
        if not place.below or opening not in ("{", "["):
            return self._decoder.raw_decode(self._text, start)[1]
        step: str | int = -1
        at = self._past_space(start + 1)
        while self._text[at : at + 1] not in ("}", "]", ""):
            shown = at
            if opening == "{":
                step, at = self._decoder.raw_decode(self._text, at)
                at = self._past_space(at) + 1  # the colon
            else:
                step = int(step) + 1
            below = place.below.get(step)
            if below is not None:
                below.line = self._line_at(shown)
                at = self.walk(below, at)
            else:
                at = self._decoder.raw_decode(self._text, self._past_space(at))[1]
            at = self._past_space(at)
            at = self._past_space(at + 1) if self._text[at : at + 1] == "," else at
        return at + 1

    def _past_space(self, at: int) -> int:
        found = self._space.match(self._text, at)
        return found.end() if found else at

    def _line_at(self, at: int) -> int:
        self._line += self._text.count("\n", self._at, at)
        self._at = at
        return self._line


@dataclass(slots=True)
class _Frame:
    """An open collection: the place it stands for, and how far it is read."""

    place: _Place | None
    is_mapping: bool
    index: int = 0
    key_read: bool = False
    at_key: _Place | None = None

    def next(self, event: yaml.Event, line: int) -> _Place | None:
        """The place of the node that `event` begins; None where nobody asks for it."""
        if not self.is_mapping:
            place = self.place.below.get(self.index) if self.place else None
            self.index += 1
        elif self.key_read:
            self.key_read = False
            return self.at_key
        else:
            self.key_read = True
            key = event.value if isinstance(event, yaml.ScalarEvent) else None
            self.at_key = place = self.place.below.get(key) if self.place and key is not None else None
        if place is not None:
            place.line = place.line or line
        return place


def _yaml_lines(data: bytes, roots: dict[int, _Place]) -> None:
    number, stack, last = -1, list[_Frame](), max(roots)
    for event in yaml_events(data):
        if isinstance(event, yaml.DocumentStartEvent):
            number += 1
            if number > last:
                return
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            line = event.start_mark.line + 1 if event.start_mark is not None else 1
            if stack:
                place = stack[-1].next(event, line)
            elif (place := roots.get(number)) is not None:
                place.line = line
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append(_Frame(place, isinstance(event, yaml.MappingStartEvent)))


def yaml_events(data: bytes) -> Iterator[yaml.Event]:
    """The events of YAML text, by the C parser, without the loader's recursion; raises YAMLError, ValueError."""
    parser = yaml.CSafeLoader(data)
    try:
        while (event := parser.get_event()) is not None:
            yield event
            if type(event) is yaml.StreamEndEvent:
                return
    finally:
        parser.dispose()
