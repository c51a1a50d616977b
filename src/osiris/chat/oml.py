"""From a proposal to the text of a pipeline: always the same bytes, in the form that `osiris fmt` has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.api import format_text
from osiris.chat.found import one_line
from osiris.secret import find_literal_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.chat.choices import Choices
    from osiris.chat.proposal import Proposal, Target
    from osiris.model import JsonValue

    Step = dict[str, JsonValue]

TRANSFORM = "transform"
SAVE = "save"


INTENT = 500
"""Characters of the words that a pipeline keeps as its description."""


def render(proposal: Proposal, choices: Choices, words: str = "") -> str:
    """Return the OML text: a step for each source, one for the SQL if there is any, and one that saves.

    The sources must be among the choices, as those of what `proposal.read` returns are. The person's words become the
    description, unless there is something in them that a pipeline must not hold.
    """
    intent = one_line(words, INTENT)
    fits = intent and "${" not in intent and not find_literal_secrets({"description": intent})
    told = {"description": intent} if fits else {}
    document = {"oml_version": "0.1.0", "name": proposal.name, **told, "steps": list(_steps(proposal, choices))}
    return format_text(json.dumps(document, ensure_ascii=False), f"{proposal.name}.yaml")


def _steps(proposal: Proposal, choices: Choices) -> Iterator[Step]:
    names = []
    for source in proposal.sources:
        relation = next(each for each in choices.relations if each.id == source.relation)
        config = {**relation.step["config"], **({"columns": list(source.columns)} if source.columns else {})}
        names.append(relation.name)
        yield {**relation.step, "id": relation.name, "needs": [], "config": config}
    if proposal.sql is not None:
        yield {
            "id": TRANSFORM,
            "component": "duckdb.processor",
            "mode": "transform",
            "needs": names,
            "config": {"query": _tidy(proposal.sql)},
        }
    last = names if proposal.sql is None else [TRANSFORM]
    target = proposal.target
    yield {"id": SAVE, "component": target.component, "mode": "write", "needs": last, "config": _config(target)}


def _config(target: Target) -> dict[str, JsonValue]:
    if target.path is not None:
        return {"path": target.path}
    key = {"primary_key": list(target.key)} if target.key else {}
    return {"connection": target.connection, "table": target.table, "write_mode": target.mode, **key}


def _tidy(sql: str) -> str:
    """Return a statement with one line break at its end if it has several lines, and none before it."""
    text = sql.strip().removesuffix(";").rstrip()
    return f"{text}\n" if "\n" in text else text
