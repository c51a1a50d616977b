"""What is read: a table or file that is chosen from those that are found, and looked at then."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.guide.questions import Answer, Look, Option, Tell

if TYPE_CHECKING:
    from osiris.chat.choices import Relation
    from osiris.chat.guide.draft import Draft
    from osiris.chat.guide.questions import Ask, Flow


def option_of(relation: str, source: str, table: str, note: str = "") -> Option:
    """Return the option for a relation; its key has what is needed to look at it."""
    return Option(json.dumps([relation, source, table]), relation, note)


def looked_at(draft: Draft, asked: Ask) -> Flow[Relation | None]:
    """Ask for a relation and look at it; None, and why, if it cannot be read."""
    answer = Answer.of((yield asked))
    relation, source, table = json.loads(answer.keys[0])
    if relation not in draft.tables:
        found = yield Look(relation, source, table)
        if "table" not in found:
            yield Tell(f"{relation} cannot be read: {found['reason']}")
            return None
        draft.tables = {**draft.tables, relation: (source, found["table"])}
    known = next((each for each in draft.choices.relations if each.id == relation), None)
    if known is None or not known.columns:
        draft.tables = {name: told for name, told in draft.tables.items() if name != relation}
        yield Tell(f"{relation} has no columns that can be read.")
        return None
    return known


def first(draft: Draft, asked: Ask) -> Flow[None]:
    """Ask for what is read first, until it can be read."""
    relation = None
    while relation is None:
        relation = yield from looked_at(draft, asked)
    draft.read(relation.id)
    draft.request = replace(draft.request, name="")
