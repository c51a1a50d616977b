"""Where the characters of a text value stand in a file: plain, in quotes, or in a literal or folded block."""

from __future__ import annotations

import re

# One character of the value as it is written, by the sign at the beginning; white space is counted nowhere.
_QUOTED = {
    '"': re.compile(r"\\(?:x..|u.{4}|U.{8}|.)|.", re.DOTALL),
    "'": re.compile(r"''|.", re.DOTALL),
}
_PLAIN = re.compile(r".", re.DOTALL)
_BLANK = re.compile(r"\s|\\[ \tntrvfN_LP\r\n]")


def find_inside(source: str, start: int, value: str, offset: int) -> int:
    """Return where character `offset` of a value stands in the text of a file in which its scalar begins at `start`.

    YAML folds lines, strips indents and reads escapes, but every visible character of a value is written once, and in
    order.
    """
    nth = sum(not char.isspace() for char in value[:offset])
    sign = source[start]
    if sign in _QUOTED:
        start += 1
    elif sign in "|>":
        start = source.find("\n", start) + 1
    for unit in _QUOTED.get(sign, _PLAIN).finditer(source, start):
        if not _BLANK.fullmatch(unit[0]):
            nth -= 1
            if nth < 0:
                return unit.start()
    return start
