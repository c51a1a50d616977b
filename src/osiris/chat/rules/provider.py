"""Proposes pipelines by rules: a grammar of requests over the tables that discovery found; no model, no network."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.port import Answer
from osiris.chat.rules.abbreviations import SECRET_TABLES
from osiris.chat.rules.answers import Ask, Cannot, key_text
from osiris.chat.rules.goals import places
from osiris.chat.rules.graph import graph
from osiris.chat.rules.key_names import with_key_names
from osiris.chat.rules.lexicon import lexicon, table_words
from osiris.chat.rules.query import Test
from osiris.chat.rules.scope import Scope
from osiris.chat.rules.spelling import GRAMMAR
from osiris.chat.rules.statement import statement
from osiris.chat.rules.talk import request as said_in
from osiris.chat.rules.talk import talk
from osiris.chat.rules.targets import references, target
from osiris.chat.rules.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.chat.choices import Choices, Relation
    from osiris.chat.port import Request
    from osiris.chat.proposal import Target
    from osiris.chat.rules.query import Condition, Said
    from osiris.chat.rules.rendering import Made
    from osiris.model import JsonValue

_LOOKED_AT = 20
_ABLE = (
    "I can copy, filter, join, group, count, sum, sort and rename what tables hold, and write it to a CSV, Parquet or "
    "JSON file or to a table of a database."
)


class Rules:
    """The provider that needs no model: it answers from the request alone, always the same."""

    name = "rules"

    def complete(self, request: Request) -> Answer:
        """Return the answer to a request; it never fails, as what it cannot do is an answer as well."""
        try:
            value = _intent(request) if request.purpose == "intent" else _proposal(request)
        except Ask as asked:
            choices = list(asked.choices)
            value = {"question": {"about": asked.about, "text": asked.text, "choices": choices}, "cannot": None}
        except Cannot as reason:
            value = {"question": None, "cannot": f"I cannot do that: {reason}. {_ABLE}"}
        return Answer(value, self.name)


def _intent(request: Request) -> JsonValue:
    """Return the tables that matter by their names, and those beside them, over which these may hang together."""
    choices = request.choices
    said = _said(request)
    _refuse(said)
    names = lexicon(choices)
    found: dict[str, Relation] = {}
    for text in talk(request.messages).texts:
        words = tokens(text)
        for at in range(len(words)):
            _, tables = names.find("tables", words, at)
            found |= {each.relation.id: each.relation for each in tables if each.tier <= 2}
    goals = set(references(said.goal, choices))
    sources = {each.source for each in found.values() if each.connection not in goals} or {
        each.source for each in choices.relations if each.connection not in goals
    }
    beside = [each for each in choices.relations if _may_matter(each, sources) and each.id not in found]
    return {"tables": [*found, *(each.id for each in beside)][:_LOOKED_AT], "question": None, "cannot": None}


def _may_matter(relation: Relation, sources: set[str]) -> bool:
    near = relation.source in sources or (relation.connection is None and not any(each[0] == "@" for each in sources))
    return near and not SECRET_TABLES.intersection(table_words(relation))


def _said(request: Request) -> Said:
    names = with_key_names(lexicon(request.choices), graph(request.choices))
    return said_in(talk(request.messages), names, places(request.choices))


def _proposal(request: Request) -> JsonValue:
    if request.purpose == "regenerate":
        told = next((str(each.get("message")) for each in request.problems), "it did not pass")
        raise Cannot(f"what I made of these words did not pass ({told}); please say it in other words")
    choices = request.choices
    said = _said(request)
    _refuse(said)
    answers = talk(request.messages).answers
    _ask_for_unread(said, answers)
    scope = Scope.of(choices, answers, fast=request.fast)
    for note in said.notes:
        scope.assume(note)
    scope.closed = _closed(said, choices)
    made = statement(said, scope)
    _ask_for_unread(replace(said, conditions=[]), answers)
    aim = target(said.goal, made, scope)
    if scope.fast and aim.table is None and aim.path is None:
        scope.assume(f"the file is called {_name(made, aim, said.goal.name)}")
    return _value(_name(made, aim, said.goal.name), made, aim, scope)


def _refuse(said: Said) -> None:
    if said.refused:
        what, words = said.refused[0]
        raise Cannot(f"'{words}': I do not {what}")


def _ask_for_unread(said: Said, answers: Mapping[str, str]) -> None:
    if all(map(_is_explained, said.unread)) and any(_is_unplaced(each, answers) for each in said.conditions):
        return
    for word in sorted(said.unread, key=_is_explained):
        if word.startswith("\0time "):
            words = word.removeprefix("\0time ")
            raise Ask(
                f"time {words}"[:60], f"Which dates are meant by '{words}'? A pipeline does not know what today is."
            )
        raise Ask(f"word {word}"[:60], f"I do not know what '{word}' means here. What is it, in words of the tables?")


def _is_explained(word: str) -> bool:
    """Tell whether an unread word has a meaning by itself: then what it was said of is to blame, if that has none."""
    return word.lower() in GRAMMAR


def _is_unplaced(condition: Condition, answers: Mapping[str, str]) -> bool:
    """Tell whether nothing tells the column of a value yet; that is asked for with the statement."""
    if not isinstance(condition, Test) or condition.left is not None or condition.words != "value":
        return False
    return key_text(f"value {condition.text}") not in answers


def _closed(said: Said, choices: Choices) -> frozenset[str]:
    """Return the tables of the target's database: they are read only if nothing else has their name."""
    named = {each.lower() for each in said.sources}
    goals = {
        each for each in references(said.goal, choices) if not {each.lower(), each.lower().partition(".")[2]} & named
    }
    if len(goals) > 1:
        return frozenset()
    return frozenset(each.id for each in choices.relations if each.connection in goals)


def _value(name: str, made: Made, aim: Target, scope: Scope) -> JsonValue:
    return {
        "name": name,
        "sources": [{"relation": each.id, "columns": None} for each in made.relations],
        "sql": made.sql,
        "target": {
            "component": aim.component,
            "connection": aim.connection,
            "path": aim.path,
            "table": aim.table,
            "mode": aim.mode,
            "key": list(aim.key),
        },
        "assumptions": list(scope.assumptions),
        "question": None,
        "cannot": None,
    }


def _name(made: Made, aim: Target, given: str | None) -> str:
    """Return a name for the pipeline: that of the file or the table that it writes, else of what it reads."""
    own = aim.table or given or ""
    if aim.path:
        own = aim.path.rpartition("/")[2].split(".", 1)[0]
    if not own:
        own = made.relations[0].name + (f"_by_{made.columns[0]}" if made.grouped and len(made.columns) > 1 else "")
    plain = re.sub(r"[^a-z0-9]+", "_", own.lower()).strip("_")[:60].rstrip("_")
    return plain if plain[:1].isalpha() else f"t_{plain}"[:60].rstrip("_")
