"""Files and folders to documents: YAML (C loader), JSON, several documents a file, `List` objects.

Input is not trusted. An alias may not blow a file up (a document may not expand to more than ten times what is written,
above a floor), contain itself, or nest deeper than `DEEPEST`; a key may stand once in a mapping; numbers are finite.
Timestamps stay text: no plan computes with them. Lines are looked up only for what is reported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from raypipe.errors import Problem

DEEPEST = 100
LARGEST_EXPANSION = 10
EXPANSION_FLOOR = 200_000
LARGEST_FILE_BYTES = 1 << 30
LONGEST_LINE_LOOKUP_BYTES = 20_000_000
SUFFIXES = (".yaml", ".yml", ".json")
LIST_KINDS = frozenset({"List"})


class _Loader(yaml.CSafeLoader):
    """The C loader, with timestamps left as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_LEADING = re.compile(rb"(?m)^[ \-?]*")
_SCALARS = {
    "tag:yaml.org,2002:null",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
}


@dataclass(slots=True)
class Source:
    """One file as the user named it, and the problems found in it."""

    shown: str
    path: Path
    problems: list[Problem] = field(default_factory=list)

    def problem(
        self,
        found: str,
        expected: str,
        *,
        document: int = 0,
        steps: Sequence[str | int] = (),
        line: int | None = None,
        suggestion: str | None = None,
    ) -> None:
        """Note a problem at `steps` (keys and indices) of a document; its line is looked up."""
        if line is None:
            line = line_of(self.path, document, steps)
        self.problems.append(
            Problem(
                file=self.shown,
                line=line,
                field=field_text(steps),
                found=found,
                expected=expected,
                suggestion=suggestion,
            )
        )


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file: its content, which document it is in, and the steps that lead to it there."""

    source: Source
    number: int
    steps: tuple[str | int, ...]
    content: dict[str, Any]


def field_text(steps: Sequence[str | int]) -> str | None:
    """Steps as people write them.

    >>> field_text(("spec", "containers", 0, "image"))
    'spec.containers[0].image'
    """
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else ("." if text else "") + str(step)
    return text or None


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; what can be no path does not exist."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def files_in(path: Path, shown: str) -> list[tuple[Path, str]]:
    """The manifest files under a path, in order of name, hidden ones left out; a file is itself."""
    if path.is_file():
        return [(path, shown)]
    base = shown.rstrip("/")
    found = sorted(
        one
        for one in path.rglob("*")
        if one.suffix in SUFFIXES
        and one.is_file()
        and not any(part.startswith(".") for part in one.relative_to(path).parts)
    )
    return [(one, f"{base}/{one.relative_to(path).as_posix()}") for one in found]


def documents(source: Source) -> Iterator[Document]:
    """The objects of a file, those of `List`s one by one; problems are noted in the source."""
    try:
        size = source.path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            source.problem(f"{size} bytes", f"at most {LARGEST_FILE_BYTES}", line=1)
            return
        data = source.path.read_bytes()
    except OSError as error:
        source.problem(error.strerror or "a file that cannot be read", "a readable file", line=1)
        return
    for number, content in enumerate(_parsed(source, data)):
        if content is not None:
            yield from _flattened(source, number, (), content)


def _flattened(source: Source, number: int, steps: tuple[str | int, ...], content: Any) -> Iterator[Document]:
    """A document, or the items of a list of objects."""
    if not isinstance(content, dict):
        expected = "an object with apiVersion and kind"
        source.problem(_said(content), expected, document=number, steps=steps)
        return
    kind = content.get("kind")
    items = content.get("items")
    if isinstance(kind, str) and (kind in LIST_KINDS or (kind.endswith("List") and isinstance(items, list))):
        if items is not None and not isinstance(items, list):
            source.problem(_said(items), "a list", document=number, steps=(*steps, "items"))
            return
        if len(steps) > DEEPEST:
            return
        for index, item in enumerate(items or ()):
            yield from _flattened(source, number, (*steps, "items", index), item)
        return
    yield Document(source, number, steps, content)


def _said(value: object) -> str:
    return {list: "a list", dict: "a mapping", type(None): "nothing"}.get(type(value), f"{str(value)[:60]!r}")


def _parsed(source: Source, data: bytes) -> Iterator[Any]:
    if source.path.suffix == ".json":
        try:
            yield msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            source.problem(str(error)[:200] or "too deep a nesting", "JSON", line=1)
        return
    yield from _parsed_yaml(source, data)


def _too_deep(data: bytes) -> int | None:
    """The line where YAML nests deeper than `DEEPEST`, or None.

    The C composer recurses on the process's own stack, so this is asked before it runs. Text that cannot nest so deep,
    by its brackets and its indentation, is not looked at twice; else the events are counted, which recurse nowhere.
    """
    opened = data.count(b"[") + data.count(b"{")
    if opened <= DEEPEST and max(map(len, _LEADING.findall(data)), default=0) <= DEEPEST:
        return None
    depth = 0
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                return event.start_mark.line + 1 if event.start_mark is not None else 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _parsed_yaml(source: Source, data: bytes) -> Iterator[Any]:
    try:
        deep = _too_deep(data)
        if deep is not None:
            source.problem(f"nesting deeper than {DEEPEST}", "a flatter document", line=deep)
            return
        loader = _Loader(data)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        source.problem(_yaml_words(error), "YAML in UTF-8", line=_yaml_line(error))
        return
    try:
        number = 0
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            before = len(source.problems)
            _guard(source, node, number)
            yield _built(source, node, {}, number) if len(source.problems) == before else None
            number += 1
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        source.problem(_yaml_words(error), "YAML", line=_yaml_line(error))
    finally:
        loader.dispose()


def _yaml_words(error: Exception) -> str:
    words = getattr(error, "problem", None) or str(error) or type(error).__name__
    context = getattr(error, "context", None)
    return f"{context}: {words}"[:200] if context else str(words)[:200]


def _yaml_line(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark is not None else 1


def _guard(source: Source, root: yaml.Node, number: int) -> None:
    """Refuse documents that contain themselves, nest too deep, or expand beyond measure, before they are built."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        mark = id(node)
        children = _children(node)
        if done:
            open_nodes.discard(mark)
            sizes[mark] = 1 + sum(sizes[id(child)] for child in children)
            continue
        if mark in sizes:
            continue
        line = node.start_mark.line + 1
        if mark in open_nodes:
            source.problem("an alias to what contains it", "a document without cycles", document=number, line=line)
            return
        open_nodes.add(mark)
        if len(open_nodes) > DEEPEST * 2:
            source.problem(f"nesting deeper than {DEEPEST}", "a flatter document", document=number, line=line)
            return
        stack.append((node, True))
        for child in children:
            if id(child) in open_nodes:
                found = "an alias to what contains it"
                source.problem(found, "a document without cycles", document=number, line=child.start_mark.line + 1)
                return
            if id(child) not in sizes:
                stack.append((child, False))
    if sizes[id(root)] > max(EXPANSION_FLOOR, LARGEST_EXPANSION * len(sizes)):
        found = f"aliases that expand to {min(sizes[id(root)], 10**15)} nodes"
        source.problem(found, f"at most {LARGEST_EXPANSION} times what is written", document=number, line=1)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return []


def _built(source: Source, node: yaml.Node, memo: dict[int, Any], number: int) -> Any:
    """A node as plain Python; aliases share one value."""
    known = memo.get(id(node), memo)
    if known is not memo:
        return known
    if isinstance(node, yaml.ScalarNode):
        value = _scalar(source, node, number)
    elif isinstance(node, yaml.SequenceNode):
        value = [_built(source, child, memo, number) for child in node.value]
    else:
        value = _mapping(source, node, memo, number)
    memo[id(node)] = value
    return value


def _mapping(source: Source, node: yaml.Node, memo: dict[int, Any], number: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    merged: list[dict[str, Any]] = []
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == "tag:yaml.org,2002:merge":
            value = _built(source, value_node, memo, number)
            merged += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            source.problem("a key that is not text", "text", document=number, line=line)
            continue
        key = str(key_node.value)
        if key in result:
            source.problem(f"the key {key[:60]!r} twice", "it once", document=number, line=line)
            continue
        result[key] = _built(source, value_node, memo, number)
    for one in merged:
        result = {**one, **result}
    return result


def _scalar(source: Source, node: yaml.ScalarNode, number: int) -> Any:
    tag, text = node.tag, node.value
    if tag not in _SCALARS:
        return text
    if tag.endswith(":null"):
        return None
    if tag.endswith(":bool"):
        return text.lower() in ("yes", "true", "on")
    try:
        value = _number(text, tag.endswith(":float"))
    except (ValueError, OverflowError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        line = node.start_mark.line + 1
        source.problem(repr(text)[:60], "a finite number", document=number, line=line)
        return None
    return value


def _number(text: str, fraction: bool) -> int | float:
    """A YAML 1.1 number; sexagesimals stay text, as nobody means them."""
    bare = text.replace("_", "")
    if ":" in bare or len(bare) > 400:
        raise ValueError(text)
    if fraction:
        return float(bare.lower().replace(".inf", "inf").replace(".nan", "nan"))
    sign = -1 if bare.startswith("-") else 1
    digits = bare.lstrip("+-").lower()
    if digits.startswith(("0x", "0b", "0o")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if len(digits) > 1 and digits.startswith("0") else 10)


def line_of(path: Path, document: int, steps: Sequence[str | int]) -> int | None:
    """The line of what `steps` lead to in a document, or of the last step that exists; None where it cannot be told."""
    try:
        if path.stat().st_size > LONGEST_LINE_LOOKUP_BYTES:
            return None
        data = path.read_bytes()
        if _too_deep(data) is not None:
            return None
        for number, node in enumerate(yaml.compose_all(data, Loader=_Loader)):
            if number == document:
                return _line_at(node, steps)
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None
    return None


def _line_at(node: yaml.Node | None, steps: Sequence[str | int]) -> int | None:
    line = node.start_mark.line + 1 if node is not None else None
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == step), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line
