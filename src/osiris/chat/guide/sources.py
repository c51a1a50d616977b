"""What is read: a table or file that is chosen from those that are found, and looked at then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.chat.catalog_import import one_line
from osiris.chat.guide.questions import Answer, Look, Option, Tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.chat.choices import Relation
    from osiris.chat.guide.draft import Draft
    from osiris.chat.guide.questions import Ask, Flow
    from osiris.model import JsonValue

_SHOWN = 200


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
    yield Tell(_columns(known, draft.tables[relation][1]))
    return known


def _columns(relation: Relation, table: Mapping[str, JsonValue]) -> str:
    """Return what a relation has, in a line or two."""
    columns = relation.columns or ()
    hidden = len(table["columns"]) - len(table["closed"]) - len(columns)
    names = one_line(", ".join(f"{each.name} {each.type or ''}".rstrip() for each in columns), _SHOWN)
    more = f"\n  not offered, as their names cannot be shown: {hidden:,}" if hidden > 0 else ""
    return f"  columns ({len(columns):,}): {names}{more}"


def first(draft: Draft, asked: Ask) -> Flow[None]:
    """Ask for what is read first, until it can be read."""
    relation = None
    while relation is None:
        relation = yield from looked_at(draft, asked)
    draft.read(relation.id)
