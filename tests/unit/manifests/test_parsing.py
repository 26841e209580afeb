"""Text to values: what is read, what is refused, and where it says it stands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from raypipe.manifests.lines import line_of
from raypipe.manifests.parsing import DEEPEST, EXPANSION_FLOOR, parsed
from raypipe.manifests.sources import SourceFile
from tests.unit.manifests.builders import problems_of_text


def values(text: str, *, json: bool = False) -> list[Any]:
    source = SourceFile("x.yaml", Path("x.yaml"))
    found = list(parsed(source, text.encode(), json))
    assert source.problems == []
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("0x10", 16),
        ("010", 8),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("12:30:45", "12:30:45"),
        ("true", True),
        ("No", False),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("!!int '7'", 7),
        ("!!int seven", "seven"),
        ("2026-01-05T08:00:00Z", "2026-01-05T08:00:00Z"),
        ("2026-01-05", "2026-01-05"),
        ("!!binary aGk=", "aGk="),
        ("!!python/object/apply:os.system [x]", ["x"]),
        ("|\n  a\n  b", "a\nb"),
    ],
)
def test_scalars_are_what_yaml_1_1_says_without_timestamps_and_objects(text: str, value: object) -> None:
    assert values(f"a: {text}") == [{"a": value}]


def test_keys_are_text_as_written() -> None:
    assert values("{1: a, yes: b, ~: c}") == [{"1": "a", "yes": "b", "~": "c"}]


def test_aliases_and_merges_are_filled_in() -> None:
    text = "base: &b {x: 1, y: 2}\nuse: *b\nmore: {<<: *b, y: 3}\nboth: {<<: [{z: 1}, *b], z: 2}\nk: &k key\n"
    assert values(text) == [
        {
            "base": {"x": 1, "y": 2},
            "use": {"x": 1, "y": 2},
            "more": {"x": 1, "y": 3},
            "both": {"x": 1, "y": 2, "z": 2},
            "k": "key",
        }
    ]


def test_anchors_end_with_their_document() -> None:
    assert "the alias *a of nothing" in problems_of_text("a: &a 1\n---\nb: *a\n")[1]


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)
THOUSAND = ", ".join(f"k{n}: 1" for n in range(1000))
MERGES = f"x: &x {{{THOUSAND}}}\n" + "".join(f"m{n}: {{<<: *x}}\n" for n in range(9999))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 300))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(BOMB, "5: a4[7]: found aliases that expand", id="billion laughs"),
        pytest.param(MERGES, "expand to", id="merges"),
        pytest.param(CHAIN, f"nesting deeper than {DEEPEST}", id="a chain of aliases"),
        pytest.param("a: &a [*a]", "1: a[0]: found the alias *a within", id="an alias in itself"),
        pytest.param("a: &a\n  b: *a", "2: a.b: found the alias *a within", id="a mapping in itself"),
        pytest.param("[" * 2_000_000, f"nesting deeper than {DEEPEST}", id="brackets"),
        pytest.param("{a: " * 500_000, f"nesting deeper than {DEEPEST}", id="braces"),
        pytest.param("- " * 30_000, f"nesting deeper than {DEEPEST}", id="dashes"),
        pytest.param("a: 1\nb: {c: 1, c: 2}", "2: b.c: found the key 'c' twice, expected it once", id="a key twice"),
        pytest.param("a: 1\n<<: b", "2: <<: found 'b', expected mappings to merge", id="a merge of a word"),
        pytest.param("a: {<<: [{b: 1}, 2]}", "1: a.<<: found", id="a merge of a number"),
        pytest.param("? [a]\n: 1", "a key that is not text", id="a list as key"),
        pytest.param("a:\n- .nan", "2: a[0]: found '.nan', expected a finite number", id="nan"),
        pytest.param("a: 1.0e+999", "1: a: found '1.0e+999', expected a finite number", id="infinite"),
        pytest.param("a: *b", "the alias *b of nothing", id="an alias of nothing"),
        pytest.param("a: [1", "expected YAML", id="an open bracket"),
        pytest.param("a: \t@", "1: found while scanning for the next token", id="no token"),
        pytest.param(b"a: \xff\xfe", "expected YAML in UTF-8", id="no text"),
        pytest.param("a: \0", "control characters are not allowed", id="control characters"),
        pytest.param("hello", "found 'hello', expected an object", id="a word"),
        pytest.param("- a", "found a list, expected an object", id="a list"),
    ],
)
def test_yaml_that_is_refused(text: str | bytes, told: str) -> None:
    started = time.perf_counter()
    assert told in problems_of_text(text)[0]
    assert time.perf_counter() - started < 2  # what fuzzing allows a case


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param('{"a": NaN}', "1: a: found nan, expected a finite number", id="nan"),
        pytest.param('{"a":\n[1e999]}', "2: a[0]: found inf, expected a finite number", id="infinite"),
        pytest.param(
            '{"a": {\n"b": 1,\n"b": 2}}', "3: a.b: found the key 'b' twice, expected it once", id="a key twice"
        ),
        pytest.param("[" * 1_000_000, "too deep a nesting", id="brackets"),
        pytest.param('{"a":' * 100_000, "too deep a nesting", id="braces"),
        pytest.param("{\n'a': 1}", "2: found Expecting property name", id="quotes"),
        pytest.param("{} x", "found Extra data", id="more than one"),
        pytest.param('{"a": "\\ud800"}', "surrogates not allowed", id="half a character"),
        pytest.param('{"a": ' + "9" * 5000 + "}", "4300 digits", id="5000 digits"),
        pytest.param(b"\xff\xfe{\0}\0", "expected JSON in UTF-8", id="utf-16"),
        pytest.param("[]", "found a list, expected an object", id="a list"),
    ],
)
def test_json_that_is_refused(text: str | bytes, told: str) -> None:
    assert told in problems_of_text(text, "x.json")[0]


def test_what_stands_before_an_error_is_read_and_what_stands_beside_it_too() -> None:
    told = problems_of_text("kind: 1\n---\na: {b: 1, b: 2}\nc: .inf\n---\n[")
    assert [one.partition(", expected")[0] for one in told] == [
        "objects.yaml:1: kind: found 1",
        "objects.yaml:3: a.b: found the key 'b' twice",
        "objects.yaml:4: c: found '.inf'",
        "objects.yaml:3: kind: found nothing",
        "objects.yaml:7: found while parsing a flow node: did not find expected node content",
    ]


def test_aliases_within_measure_are_no_bomb() -> None:
    text = "a: &a {cpu: 1, memory: 1Gi}\nb: [" + ", ".join(["{x: *a, y: *a}"] * 1000) + "]\n"
    assert len(values(text)[0]["b"]) == 1000 < EXPANSION_FLOOR


TEXT = """\
apiVersion: v1
kind: List
items:
- metadata: {name: a,
    namespace: b}
-
  spec:
    "quoted": &q
    - x
    ? z
    : *q
---
second: 1
"""
JSON = '{\n"a": [\n1,\n{"b": "}\\"",\n"c": {}\n}, {"d": 1}],\n"e":2}\n'


@pytest.mark.parametrize(
    ("name", "text", "document", "steps", "line"),
    [
        ("x.yaml", TEXT, 0, (), 1),
        ("x.yaml", TEXT, 0, ("kind",), 2),
        ("x.yaml", TEXT, 0, ("items", 0, "metadata", "namespace"), 5),
        ("x.yaml", TEXT, 0, ("items", 1), 7),
        ("x.yaml", TEXT, 0, ("items", 1, "spec", "quoted", 0), 9),
        ("x.yaml", TEXT, 0, ("items", 1, "spec", "z"), 10),
        ("x.yaml", TEXT, 0, ("items", 1, "spec", "absent", "more"), 7),
        ("x.yaml", TEXT, 1, ("second",), 13),
        ("x.yaml", TEXT, 2, ("second",), None),
        ("x.json", JSON, 0, ("a", 0), 3),
        ("x.json", JSON, 0, ("a", 1, "b"), 4),
        ("x.json", JSON, 0, ("a", 1, "c", "absent"), 5),
        ("x.json", JSON, 0, ("a", 2, "d"), 6),
        ("x.json", JSON, 0, ("e",), 7),
        ("x.json", JSON, 0, ("a", 9), 2),
    ],
)
def test_the_line_of_a_field(
    tmp_path: Path, name: str, text: str, document: int, steps: tuple[str | int, ...], line: int | None
) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert line_of(path, document, steps) == line
