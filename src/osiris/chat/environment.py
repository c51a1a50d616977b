"""Everything that a conversation does outside of itself: the verbs of an environment, and what they return.

The agent is a function of what its environment returns, so one that returns what was recorded leads to the same
conversation. All results but those of `ask` are JSON values; nothing here knows a clock.

`names`  {"connections": ["@sqlite.shop"…], "writers": [{"component", "ending", "modes": […], "connections": […]}…],
          "sources": [{"target": "@sqlite.shop" | "data/*", "connection": reference | null, "recalled": bool,
                       "tables": [TABLE…]}…],
          "silent": {target: DIAGNOSTIC}, "today": ISO 8601, "conventions": text | null,
          "components": [of these sources and writers, as `osiris prompts context` has them…],
          "earlier": [{"name", "reads": [label…], "writes": [label…]}…]}
`look`   {"tables": {relation id: TABLE}, "recalled": number of profiles that were known, "silent": {…}}
`check`  {"ok": bool, "oml": text, "diagnostics": [DIAGNOSTIC…]}, and if it is good also "name", "fingerprint", "short",
         "steps", "plan", "sources", as `osiris compile --json` has them, and "deciding": {id of a step that reads:
         [its columns that decide which rows are written…]}, "multiplies": [what joins by which several rows match one
         would do, or may…]}
`save`   {"file": "output/x.yaml", "digest": SHA-256, "state": "saved" | "unchanged" | "replaced", "fingerprint",
          "manifest": path, "diagnostics": […]}
`run`    {"session", "status", "run_key", "steps", "outputs", "ok": bool, "diagnostics": […], "answer": the package's}

TABLE is a table as `osiris discover --json` has it (name, rows, comment, columns, primary_key, foreign_keys, step,
profile, …), DIAGNOSTIC a `Diagnostic.to_json`. A verb that fails raises `OsirisError`, which is not recorded, so that
it is tried again when the conversation is taken up: but `check` and `run` return what is wrong with a text or a run.

Kinds of `tell`, each with its fields:

    state_transition        from_state, to_state
    user_message            text, about (key of the question that was answered, or None)
    assistant_response      text; about, choices where it is a question
    discovery_start         tables (ids whose columns and profiles are wanted; none while names are asked for)
    discovery_done          tables (number), recalled (number), silent ({target: DIAGNOSTIC})
    llm_request_start       purpose
    llm_response_complete   purpose, model, input_tokens, output_tokens, requests, cost
    oml_synthesis_complete  number (of the draft, from 1), oml
    validation              number, ok, diagnostics
    plan                    number, check (as above), tables (ids), assumptions (texts), changes (lines of the read-back
                            that differ from those of the plan before): shown before it is accepted
    saved                   as `save` returns it
    run_result              as `run` returns it
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Protocol

from osiris import api
from osiris.chat.project_catalog import data_folders, earlier_pipelines, paths_in, references, source_of, writers_of
from osiris.codes import CODES
from osiris.errors import InvalidInput, OsirisError, StepFailed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from osiris.api import Compiled, Workspace
    from osiris.chat.provider_api import Answer, Model, ModelRequest, Question
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.runner.adapter import Worker


class Waiting(Exception):
    """There is nobody to answer: the command ends, and the conversation waits with its question."""


DRAFT = "output/draft.yaml"
"""As which file a text is checked that is none yet."""

_NOT_DISCOVERED = "DSC001"
_OF_WORKER = ("RUN001", "RUN007")
"""Code of a connection that has no tables to look at: it may still be written to."""

_MENDABLE = (InvalidInput, StepFailed)
"""What a pipeline that is written otherwise may mend."""


class UserInterface(Protocol):
    """The person's side: a terminal, or whatever a command was given."""

    def ask_user(self, question: Question | None) -> str:
        """Return the person's next words; raises `Waiting` if there are none."""
        ...

    def edit(self, text: str) -> str:
        """Have the person edit a text; returns it as it is then."""
        ...

    def show(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Show and record what the agent tells; kinds as in `environment`."""
        ...

    def progress(self, event: Mapping[str, JsonValue]) -> None:
        """Show how a run is getting on: an event of its session."""
        ...


class Environment:
    """The environment of a conversation in a project; `conversation` is its id, which names the runs that it starts.

    `samples` (none, masked or raw) are the rows that the model may see; `out` is the folder in which pipelines are
    saved, below output/ or pipelines/.
    """

    def __init__(
        self,
        workspace: Workspace,
        model: Model,
        ui: UserInterface,
        conversation: str,
        *,
        samples: str = "none",
        out: str | None = None,
    ) -> None:
        self._workspace = workspace
        self._model = model
        self._ui = ui
        self._conversation = conversation
        self._samples = samples
        self._out = out or workspace.project.output.name
        self._draft = workspace.root / DRAFT

    def ask_user(self, question: Question | None) -> str:
        """Return the person's next words."""
        return self._ui.ask_user(question)

    def edit(self, text: str) -> str:
        """Have the person edit a text."""
        return self._ui.edit(text)

    def emit(self, kind: str, **data: JsonValue) -> None:
        """Show something."""
        self._ui.show(kind, data)

    def ask_model(self, request: ModelRequest) -> Answer:
        """Return what the model answers; what is wrong quotes values of rows only if it may see rows as they are."""
        if self._samples != "raw":
            request = replace(request, problems=tuple(map(without_values, request.problems)))
        return self._model.complete(request)

    def names(self, words: str) -> JsonValue:
        """Return the tables of all declared connections and the data files of the project, and what can be written."""
        connections = references(self._workspace)
        sources, silent = [], {}
        for target in [*connections, *data_folders(self._workspace), *paths_in(words, self._workspace.root)]:
            try:
                sources.append(source_of(api.discover(self._workspace, target).to_json()))
            except OsirisError as error:
                found = _of_source(error)
                if found.code != _NOT_DISCOVERED:
                    silent[target] = found.to_json()
        writers = writers_of(self._workspace)
        return {
            "connections": connections,
            "writers": writers,
            "sources": sources,
            "silent": silent,
            "today": date.today().isoformat(),  # noqa: DTZ011  the day of the person's own clock is meant
            "conventions": self._workspace.config.get("chat.conventions"),
            "components": self._components(sources, writers),
            "earlier": list(earlier_pipelines(self._workspace)),
        }

    def _components(self, sources: Iterable[JsonValue], writers: Iterable[JsonValue]) -> list[JsonValue]:
        steps = (table["step"] for source in sources for table in source["tables"])
        used = {step["component"] for step in steps if step} | {writer["component"] for writer in writers}
        from osiris.chat.prompts.compose import component_document

        return [component_document(spec) for spec in self._workspace.registry.all() if spec.name in used]

    def look(self, relations: Sequence[tuple[str, str, str]], without_rows: Sequence[str] = ()) -> JsonValue:
        """Return columns, keys and profiles of relations: each (id, target of its source, name of its table).

        Of those whose id is in `without_rows` no samples are taken, whatever the person allowed of the others.
        """
        tables: dict[str, JsonValue] = {}
        silent: dict[str, JsonValue] = {}
        recalled = 0
        asked: dict[tuple[str, str], dict[str, str]] = {}
        for relation, target, table in relations:
            samples = "none" if relation in without_rows else self._samples
            asked.setdefault((target, samples), {})[table] = relation
        for (target, samples), ids in asked.items():
            try:
                found = api.discover(self._workspace, target, list(ids), profile=True, samples=samples).to_json()
            except OsirisError as error:
                silent[target] = _of_source(error).to_json()
                continue
            named = [each for each in found["tables"] if each["name"] in ids]
            tables |= {ids[each["name"]]: each for each in named}
            recalled += sum(bool(each["profile"] and each["profile"]["recalled"]) for each in named)
        return {"tables": tables, "recalled": recalled, "silent": silent}

    def check(self, text: str) -> JsonValue:
        """Compile a text without saving anything, and measure joins of which no key says that one row matches."""
        checked, compiled = self.compiled(text)
        if compiled is None:
            return checked
        return {**checked, "multiplies": [each.words() for each in api.multiplied(self._workspace, compiled)]}

    def compiled(self, text: str, worker: Worker | None = None) -> tuple[JsonValue, Compiled | None]:
        """Compile a text, and nothing else; returns what is told of it, and the plan if it is good."""
        try:
            compiled = api.compile_text(self._workspace, text, self._draft, params={}, worker=worker)
            view = api.view_plan(self._workspace, compiled)
            data = {**api.compiled_data(compiled, view), "deciding": _deciding(compiled.manifest)}
        except _MENDABLE as error:
            return {"ok": False, "oml": text, "diagnostics": [item.to_json() for item in error.diagnostics]}, None
        found = [item.to_json() for item in compiled.diagnostics]
        return {"ok": True, "oml": text, "diagnostics": found, **data}, compiled

    def save(self, text: str, name: str, replaces: Sequence[str]) -> JsonValue:
        """Write a text to the folder of drafts, whole, and its plan; returns where.

        The file is named `name`, or so with a number if another text lies there, unless its digest is in `replaces`.
        """
        file, before = self._free_place(text, name, replaces)
        saved = api.save_draft(self._workspace, text, file, replaces=before)
        compiled = api.compile_file(self._workspace, self._workspace.root / saved.file, params={})
        return {
            "file": saved.file,
            "digest": saved.digest,
            "state": saved.state,
            "fingerprint": compiled.manifest.fingerprint,
            "manifest": api.save(self._workspace, compiled),
            "diagnostics": [item.to_json() for item in compiled.diagnostics],
        }

    def run(self, fingerprint: str, number: int) -> JsonValue:
        """Run a saved plan, under a run id of this conversation: what has finished is not run again.

        The `number`th run of the conversation happens once, however often it is asked for.
        """
        from osiris.runner.host.run import RunOptions

        options = RunOptions(run_id=f"{self._conversation}-{number}")
        try:
            plan = api.confirmed_plan(self._workspace, fingerprint)
            result, notes = api.run_target(self._workspace, plan, options, self._ui.progress, params={})
        except (*_MENDABLE, Unavailable) as error:
            found = [item.to_json() for item in error.diagnostics]
            return {**_NOT_RUN, "run_key": options.run_id, "diagnostics": found}
        data = api.run_data(self._workspace, result)
        result.acknowledge()
        answer = api.package(self._workspace, result.session_id, {}).document["answer"]
        found = [item.to_json() for item in (*notes, *result.diagnostics)]
        return {**data, "ok": result.exit_code == 0, "diagnostics": found, "answer": answer}

    def _free_place(self, text: str, name: str, replaces: Sequence[str]) -> tuple[str, str | None]:
        """Return a file that is not there, or has this text or one that may be replaced, and the digest of that."""
        number = 1
        while True:
            file = f"{self._out}/{name}.yaml" if number == 1 else f"{self._out}/{name}_{number}.yaml"
            path = self._workspace.root / file
            before = api.read_draft(path)
            if before is None or before in replaces or path.read_bytes() == text.encode():
                return file, before
            number += 1


def _deciding(manifest: Manifest) -> dict[str, JsonValue]:
    """Return the columns of each source that decide which rows are written."""
    from osiris.compare.lineage import read_lineage

    lineage = read_lineage(manifest)
    found: dict[str, JsonValue] = {}
    for writer in (step["id"] for step in manifest.steps if step["mode"] == "write"):
        for column in lineage.row_origins(writer):
            found.setdefault(column.step, []).append(column.name)
    return found


def _of_source(error: OsirisError) -> Diagnostic:
    """Return what is wrong with a source; raises the error if the worker died, which says nothing of the source."""
    found = error.diagnostics[0]
    if found.code in _OF_WORKER:
        raise error
    return found


_NOT_RUN: JsonValue = {"session": None, "status": "failed", "steps": {}, "outputs": {}, "ok": False, "answer": None}

_OF_THE_TEXT = ("CHT", "CMP", "CON", "LCK", "LLM", "OML", "PRJ", "REG", "SQL")
"""Codes of what is written rather than of what is read, but for those of `_OF_VALUES`."""

_OF_VALUES = ("SQL011",)

_WORDS = """
bytes check column component done encoding expected file kind limit path run_key seconds source step table timeout type
where
"""
_NAMES = frozenset(_WORDS.split())
"""Parameters of diagnostics that name things or count them. All others may quote a row."""

_PLACE = re.compile(r"\{(\w+)\}")
_HIDDEN = "…"


def without_values(problem: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a diagnostic, as JSON, without what may be a value of a row in its message and its hint."""
    code = str(problem["code"])
    row = CODES.get(code)
    is_of_text = code.startswith(_OF_THE_TEXT) and code not in _OF_VALUES
    if is_of_text or (row and _NAMES.issuperset(_PLACE.findall(row.message))):
        return dict(problem)
    told = f"{row.title}: {_masked(row.message, str(problem['message']))}" if row else code
    hint = problem.get("hint")
    return {**problem, "message": told, "hint": hint if row and hint == row.hint else None}


def _masked(template: str, message: str) -> str:
    """Return a message with its template's names as they are, and all else that was put in left out."""
    parts = _PLACE.split(template)
    groups = (f"(.+{'?' if name in _NAMES else ''})" if at % 2 else re.escape(name) for at, name in enumerate(parts))
    found = re.fullmatch("".join(groups), message, re.DOTALL)
    if found is None:
        return _HIDDEN
    told = iter(found.groups())
    shown = (next(told) if at % 2 else text for at, text in enumerate(parts))
    return "".join(text if not at % 2 or parts[at] in _NAMES else _HIDDEN for at, text in enumerate(shown))
