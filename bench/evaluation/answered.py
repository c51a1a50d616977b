"""Written answers, processed like those of a model: parsed, rendered, checked, saved and run."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from bench.evaluation.grade import SET

from osiris import api
from osiris.chat.choices import read_names, with_profiles
from osiris.chat.environment import Environment
from osiris.chat.provider_api import Question, Refusal
from osiris.chat.render import path_of, render_request
from osiris.chat.request_json import read_request
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from osiris.model import JsonValue


def project_of(data_set: str, folder: Path) -> Path:
    """Create a project of a data set in a new folder, and return it; a database is a connection."""
    shutil.copytree(SET / "data" / data_set, folder / "data")
    databases = sorted((folder / "data").glob("*.sqlite"))
    declared = {"sqlite": {path.stem: {"path": f"data/{path.name}"} for path in databases}} if databases else {}
    (folder / "osiris.yaml").write_text("{}\n", encoding="utf-8")
    (folder / "osiris_connections.yaml").write_text(json.dumps({"connections": declared}) + "\n", encoding="utf-8")
    return folder


class _Nobody:
    """A user interface without a person: nothing is asked, and nothing shown."""

    def progress(self, event: Mapping[str, JsonValue]) -> None:
        """Show nothing of a run."""


class Answered:
    """Answers to requests for one data set, carried out in one project."""

    def __init__(self, project: Path, environ: Mapping[str, str]) -> None:
        self.workspace = api.open_project(project, environ)
        self.world = Environment(self.workspace, None, _Nobody(), "evaluation")  # type: ignore[arg-type]
        choices = read_names(self.world.names(""))
        looked = self.world.look([(each.id, each.source, each.table) for each in choices.relations])
        self.choices = with_profiles(choices, looked)
        self._runs = 0

    def carry_out(self, name: str, answer: JsonValue, results: Path) -> dict[str, JsonValue]:
        """Return the outcome of an answer, as a line of the transcript; rows go to `results`."""
        line = {"id": name, "wrote": False, "asked": False, "refused": False}
        try:
            request = read_request(answer, self.choices)
            if isinstance(request, Question | Refusal):
                return {**line, "asked": isinstance(request, Question), "refused": isinstance(request, Refusal)}
            problems = self._run(request.name, render_request(request, self.choices))
        except OsirisError as error:
            problems = [each.to_json() for each in error.diagnostics]
        if problems:
            return {**line, "problem": f"{problems[0]['code']}: {problems[0]['message']}"}
        path = self.workspace.root / str(path_of(request.outputs[0], request, self.choices))
        shutil.copy(path, results / f"{name}{path.suffix}")
        return {**line, "wrote": True}

    def _run(self, name: str, text: str) -> list[JsonValue]:
        """Save and run a pipeline; returns the problem, or an empty text if it completed."""
        checked, compiled = self.world.compiled(text)
        if compiled is None:
            return list(checked["diagnostics"])
        self._runs += 1
        ran = self.world.run(self.world.save(text, name, [])["fingerprint"], self._runs)
        return [] if ran["ok"] else list(ran["diagnostics"])
