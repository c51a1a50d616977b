"""One request, held as a conversation with a model in its own project, and the outcome of each turn."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import yaml

from osiris import api
from osiris.chat import conversation
from osiris.chat.environment import Waiting
from osiris.chat.provider_api import ACCEPT, GROUNDING
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from osiris.chat.conversation import Options
    from osiris.chat.provider_api import Question
    from osiris.model import JsonValue


class Person:
    """Says the turns of a request, replies once if the request has a reply, and accepts any plan.

    Confirmations that the agent asks for are given and recorded: they are not questions of the model.
    """

    def __init__(self, request: Mapping[str, JsonValue], project: Path, results: Path) -> None:
        self._turns = [(turn["id"], turn["text"]) for turn in request["turns"]]
        reply = request.get("if_asked")
        self._reply = (f"{request['id']}-2", reply["text"]) if reply else None
        self._project, self._results = project, results
        self._path = ""
        self.lines: list[dict[str, JsonValue]] = []

    def ask_user(self, question: Question | None) -> str:
        """Return the next words; raises `Waiting` after the last ones."""
        if question is None and self._turns:
            return self._begin(*self._turns.pop(0))
        if question and question.about == ACCEPT:
            return "yes"
        if question and question.about == GROUNDING:
            self.lines[-1]["confirmed"] = True
            return "yes"
        if question:
            self.lines[-1]["asked"] = True
        if question and self._reply:
            reply, self._reply = self._reply, None
            return self._begin(*reply)
        raise Waiting

    def _begin(self, name: str, words: str) -> str:
        self.lines.append({"id": name, "wrote": False, "asked": False, "refused": False})
        return words

    def edit(self, text: str) -> str:
        """Return a text unchanged."""
        return text

    def show(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Record what the agent shows."""
        if kind == "assistant_response" and data.get("refused"):
            self.lines[-1]["refused"] = True
        elif kind == "plan":
            self._path = yaml.safe_load(data["check"]["oml"])["steps"][-1]["config"].get("path", "")
        elif kind == "run_result" and data["ok"]:
            self._keep(self._project / self._path)

    def _keep(self, path: Path) -> None:
        self.lines[-1]["wrote"] = True
        if path.is_file():
            shutil.copy(path, self._results / f"{self.lines[-1]['id']}{path.suffix}")

    def progress(self, event: Mapping[str, JsonValue]) -> None:
        """Ignore the progress of a run."""


def hold(
    request: Mapping[str, JsonValue], project: Path, options: Options, environ: Mapping[str, str], results: Path
) -> list[dict[str, JsonValue]]:
    """Return the transcript lines of a request; fails with LLM… if the model cannot be used at all."""
    person = Person(request, project, results)
    try:
        conversation.begin(api.open_project(project, environ), options, person)
    except OsirisError as error:
        if not person.lines or error.diagnostics[0].code.startswith("LLM"):
            raise
        person.lines[-1]["problem"] = str(error.diagnostics[0])
    return person.lines
