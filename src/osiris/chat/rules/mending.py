"""A proposal that did not pass, mended where the compiler says exactly how."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.chat.rules.answers import Cannot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.chat.port import Request
    from osiris.model import JsonValue

_QUERY = re.compile(r"/steps/\d+/config/query")


def mended(request: Request) -> JsonValue:
    """Return the draft with the fixes of its problems; raises Cannot where one of them has none that fits a draft.

    A fix is what mends a text where that is known exactly, so nothing is chosen here.
    """
    draft = dict(request.draft or {})
    fixed = [_fixed(problem) for problem in request.problems]
    if not draft.get("sql") or not fixed or not all(fixed):
        told = next((str(each.get("message")) for each in request.problems), "it did not pass")
        raise Cannot(f"what I made of these words did not pass ({told}); please say it in other words")
    # Each fix has the whole statement: the one of the first problem is taken, and the compiler sees what is left.
    draft["sql"] = fixed[0]
    draft["assumptions"] = [*draft.get("assumptions", ()), f"mended: {request.problems[0].get('message')}"]
    return draft


def _fixed(problem: Mapping[str, JsonValue]) -> str | None:
    """Return the statement that mends a problem; None if there is none, or something else would have to change."""
    found = list(_statements(problem))
    return found[0] if len(found) == 1 else None


def _statements(problem: Mapping[str, JsonValue]) -> Iterator[str | None]:
    for operation in problem.get("fix") or ():
        is_query = operation["op"] == "replace" and _QUERY.fullmatch(operation["path"])
        yield str(operation["value"]) if is_query else None
