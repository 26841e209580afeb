"""Regular expressions from users: refused where Python could take for ever to find that a name does not match.

Python's matcher tries the ways a pattern can be laid over a text one after the other. A pattern of single characters
with ``k`` open repeats has at most ``C(n + k, k)`` ways over a name of ``n`` characters, a ``?`` doubles them, an
alternation multiplies them by its branches, and without ``^`` each may begin anywhere. Repeated groups and back
references make the ways exponential and are refused as such. Names of instance types are short (`LONGEST_NAME`), so the
product is small for every pattern that people write for them.
"""

from __future__ import annotations

import math
import re
import warnings

LONGEST_PATTERN = 200
LONGEST_NAME = 28
MOST_WAYS = 150_000
_TOKEN = re.compile(
    r"(?P<escape>\\.)"
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<open>\((?:\?(?:P<\w+>|P=\w+|[aiLmsux]*(?:-[imsx]+)?[:)]|[:=!>]|<[=!]|\())?)"
    r"|(?P<close>\))"
    r"|(?P<either>\|)"
    r"|(?P<repeat>[*+?]|\{\d*,?\d*\})(?P<mode>[?+]?)"
    r"|(?P<other>.)",
    re.DOTALL,
)


def refusal(pattern: str) -> str | None:
    """What is wrong with a pattern, or None: it compiles and is quick on every name.

    >>> refusal(r"^r6a\\.x?large$"), refusal("(a+)+$"), refusal("^*.xlarge$")
    (None, 'a group that repeats', 'nothing to repeat at position 1')
    """
    if len(pattern) > LONGEST_PATTERN:
        return f"{len(pattern)} characters, of which there may be {LONGEST_PATTERN}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python warns of is read otherwise by its next version
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        return str(error)
    return _slow(pattern)


def _slow(pattern: str) -> str | None:
    repeats, factor, branches, after_group = 0, 1, [1], False
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if _is_back_reference(token):
            return "a back reference"
        if token["open"] and not text.endswith(")"):
            branches.append(1)
        elif token["close"]:
            factor *= branches.pop() if len(branches) > 1 else 1
        elif token["either"]:
            branches[-1] += 1
        elif token["repeat"]:
            low, high = _bounds(token["repeat"])
            if after_group and high > 1:
                return "a group that repeats"
            if high - low > 1:
                repeats += 1
            else:
                factor *= 1 + high - low
        after_group = bool(token["close"])
    ways = math.comb(LONGEST_NAME + repeats, repeats) * factor * math.prod(branches)
    ways *= 1 if pattern.startswith(("^", r"\A")) and branches[0] == 1 else LONGEST_NAME
    return None if ways <= MOST_WAYS else "more repeats, options and alternatives than can be tried on every type"


def _is_back_reference(token: re.Match[str]) -> bool:
    text = token.group()
    if token["escape"]:
        return text[1] in "123456789"
    return bool(token["open"]) and (text.startswith("(?P=") or text == "(?(")


def _bounds(repeat: str) -> tuple[int, int]:
    """Least and most repetitions; more than a name has characters are as many as it has."""
    if repeat in ("*", "+"):
        return 0, LONGEST_NAME
    if repeat == "?":
        return 0, 1
    low, comma, high = repeat.strip("{}").partition(",")
    least = int(low or 0)
    most = int(high) if high else (LONGEST_NAME if comma else least)
    return min(least, LONGEST_NAME), min(most, LONGEST_NAME)
