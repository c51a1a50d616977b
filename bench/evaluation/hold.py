"""One case, held as a conversation in a project of its own: what was made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris import api
from osiris.chat import conversation
from osiris.chat.effects import ACCEPT, Waiting
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.evaluation.cases import Case

    from osiris.chat.conversation import Options
    from osiris.chat.intent import Question
    from osiris.model import JsonValue


@dataclass(slots=True)
class Held:
    """How a case went: what was asked and said, each validation (good or not), the accepted OML, its run, its price."""

    questions: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    validations: list[bool] = field(default_factory=list)
    oml: str | None = None
    run: Mapping[str, JsonValue] | None = None
    usage: Mapping[str, JsonValue] = field(default_factory=dict)
    error: str | None = None


class Person:
    """Says the request, replies to the first question if the case has a reply, and accepts whatever plan comes."""

    def __init__(self, case: Case, held: Held) -> None:
        self._words = [case.request]
        self._reply = case.answer
        self._held = held

    def hear(self, question: Question | None) -> str:
        """Return the next words; raises `Waiting` after the last ones."""
        if question is None and self._words:
            return self._words.pop()
        if question and question.about == ACCEPT:
            return "yes"
        if question and len(self._held.questions) == 1 and self._reply is not None:
            return self._reply
        raise Waiting

    def edit(self, text: str) -> str:
        """Leave a text as it is."""
        return text

    def show(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Note what the agent tells."""
        if kind == "assistant_response" and data.get("about") not in (None, ACCEPT):
            self._held.questions.append(str(data["text"]))
        elif kind == "assistant_response" and not data.get("about"):
            self._held.said.append(str(data["text"]))
        elif kind == "validation":
            self._held.validations.append(bool(data["ok"]))
        elif kind == "plan":
            self._held.oml = str(data["check"]["oml"])
        elif kind == "run_result":
            self._held.run = data

    def progress(self, event: Mapping[str, JsonValue]) -> None:
        """Look at nothing while a run is going on."""


def hold(case: Case, project: Path, options: Options, environ: Mapping[str, str], held: Held) -> None:
    """Hold a case, and note in `held` how it went; fails with LLM… if whoever proposes cannot be had at all."""
    workspace = api.open_project(project, environ)
    try:
        outcome = conversation.begin(workspace, options, Person(case, held))
    except OsirisError as error:
        if error.diagnostics[0].code.startswith("LLM"):
            raise
        held.error = str(error.diagnostics[0])
        return
    held.usage = outcome.summary["usage"]
