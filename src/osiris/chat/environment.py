"""Everything outside of itself that a conversation uses: the methods of an environment, and what they return.

The second half collects what a pipeline of the project may read, write or resemble (sources, writers, earlier
pipelines).

The agent is a function of what its environment returns, so recorded results lead to the same conversation. All results
but those of `ask_model` are JSON values.

`names`  {"connections": ["@sqlite.shop"…], "writers": [{"component", "ending", "modes": […], "connections": […]}…],
          "sources": [{"target": "@sqlite.shop" | "data/*", "connection": reference | null, "recalled": bool,
                       "tables": [TABLE…]}…],
          "silent": {target: DIAGNOSTIC}, "today": ISO 8601, "conventions": text | null,
          "components": [of these sources and writers, as `osiris prompts context` has them…],
          "earlier": [{"name", "reads": [label…], "writes": [label…]}…]}
`look`   {"tables": {relation id: TABLE}, "recalled": number of cached profiles, "silent": {…}}
`check`  {"ok": bool, "oml": text, "diagnostics": [DIAGNOSTIC…]}, and if ok also "name", "fingerprint", "short",
         "steps", "plan", "sources", as `osiris compile --json` has them, and "deciding": {id of a step that reads:
         [its columns that decide which rows are written…]}, "multiplies": [a sentence for each join that multiplies
         rows, or may…]}
`save`   {"file": "output/x.yaml", "digest": SHA-256, "state": "saved" | "unchanged" | "replaced", "fingerprint",
          "manifest": path, "diagnostics": […]}
`run`    {"session", "status", "run_key", "steps", "outputs", "ok": bool, "diagnostics": […], "answer": the package's}

TABLE is a table as `osiris discover --json` has it (name, rows, comment, columns, primary_key, foreign_keys, step,
profile, …), DIAGNOSTIC a `Diagnostic.to_json`. A method that fails raises `OsirisError`, which is not recorded: on
resume it is called again. `check` and `run` instead return what is wrong with a text or a run.

Kinds of `emit`, each with its fields:

    state_transition        from_state, to_state
    user_message            text, about (key of the question that was answered, or None)
    assistant_response      text; about, choices where it is a question
    discovery_start         tables (ids whose columns and profiles are requested; none while names are requested)
    discovery_done          tables (number), recalled (number), silent ({target: DIAGNOSTIC})
    llm_request_start       purpose
    llm_response_complete   purpose, model, input_tokens, output_tokens, requests, cost
    oml_synthesis_complete  number (of the draft, from 1), oml
    validation              number, ok, diagnostics
    plan                    number, check (as above), tables (ids), assumptions (texts), changes (lines of the read-back
                            that differ from those of the previous plan): shown before it is accepted
    saved                   as `save` returns it
    run_result              as `run` returns it
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from osiris import api
from osiris.chat.choices import one_line, read_names, with_slash
from osiris.chat.request import MODES
from osiris.codes import CODES
from osiris.document import load_text, read_document
from osiris.errors import InvalidInput, OsirisError, StepFailed, Unavailable
from osiris.files import is_text
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.api import Compiled, Workspace
    from osiris.chat.choices import Choices
    from osiris.chat.provider_api import Answer, Model, ModelRequest, Question
    from osiris.errors import Diagnostic
    from osiris.model import ComponentSpec, JsonValue, Manifest
    from osiris.runner.adapter import Worker


class Waiting(Exception):
    """Input has ended: the command exits, and the conversation waits with its question."""


DRAFT = "output/draft.yaml"
"""File name under which unsaved text is checked."""

NOT_DISCOVERED = "DSC001"
"""Code of a connection without discoverable tables; it may still be written to."""

OUTSIDE = "CMP013"
"""Code of a step that uses a file outside the project."""

_WORKER_CODES = ("RUN001", "RUN007")
"""Codes of a worker that died, or whose answer was unreadable."""

_FIXABLE = (InvalidInput, StepFailed)
"""Errors that a different pipeline may fix."""


class UserInterface(Protocol):
    """The person's side: a terminal, or the input of a command."""

    def ask_user(self, question: Question | None) -> str:
        """Return the person's next words; raises `Waiting` if there are none."""
        ...

    def edit(self, text: str) -> str:
        """Let the person edit a text; return the result."""
        ...

    def show(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Show and record an event of the agent; kinds as in the module docstring."""
        ...

    def progress(self, event: Mapping[str, JsonValue]) -> None:
        """Show the progress of a run: an event of its session."""
        ...


class Environment:
    """The environment of a conversation in a project; `conversation` is its id, from which the ids of its runs are
    made.

    `samples` (none, masked or raw) says which rows the model may see; `out` is the folder for pipelines, below output/
    or pipelines/.
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
        """Let the person edit a text; return the result."""
        return self._ui.edit(text)

    def emit(self, kind: str, **data: JsonValue) -> None:
        """Show an event."""
        self._ui.show(kind, data)

    def ask_model(self, request: ModelRequest) -> Answer:
        """Return the model's answer; problems quote values of rows only if it may see rows unmasked."""
        if self._samples != "raw":
            request = replace(request, problems=tuple(map(without_values, request.problems)))
        return self._model.complete(request)

    def names(self, words: str) -> JsonValue:
        """Return the tables of all declared connections, the data files of the project, and the available writers."""
        connections = list(map(str, self._workspace.references()))
        sources, silent = [], {}
        for target in [*connections, *data_folders(self._workspace), *paths_in(words, self._workspace.root)]:
            try:
                sources.append(source_of(api.discover(self._workspace, target).to_json()))
            except OsirisError as error:
                diagnostic = _source_diagnostic(error)
                if diagnostic.code != NOT_DISCOVERED:
                    silent[target] = diagnostic.to_json()
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

        No samples are taken of ids in `without_rows`, whatever the person allowed for the others.
        """
        tables: dict[str, JsonValue] = {}
        silent: dict[str, JsonValue] = {}
        recalled = 0
        requests: dict[tuple[str, str], dict[str, str]] = {}
        for relation, target, table in relations:
            samples = "none" if relation in without_rows else self._samples
            requests.setdefault((target, samples), {})[table] = relation
        for (target, samples), ids in requests.items():
            try:
                discovery = api.discover(self._workspace, target, list(ids), profile=True, samples=samples).to_json()
            except OsirisError as error:
                silent[target] = _source_diagnostic(error).to_json()
                continue
            requested = [each for each in discovery["tables"] if each["name"] in ids]
            tables |= {ids[each["name"]]: each for each in requested}
            recalled += sum(bool(each["profile"] and each["profile"]["recalled"]) for each in requested)
        return {"tables": tables, "recalled": recalled, "silent": silent}

    def check(self, text: str) -> JsonValue:
        """Compile a text without saving, and measure joins that no key proves to match one row at most."""
        checked, compiled = self.compiled(text)
        if compiled is None:
            return checked
        return {**checked, "multiplies": [each.words() for each in api.multiplied(self._workspace, compiled)]}

    def compiled(self, text: str, worker: Worker | None = None) -> tuple[JsonValue, Compiled | None]:
        """Compile a text; return the result as JSON, and the plan if compilation succeeds."""
        try:
            compiled = api.compile_file(self._workspace, self._draft, params={}, worker=worker, text=text)
            view = api.view_plan(self._workspace, compiled)
            data = {**api.compiled_data(compiled, view), "deciding": _deciding(compiled.manifest)}
        except _FIXABLE as error:
            return {"ok": False, "oml": text, "diagnostics": [item.to_json() for item in error.diagnostics]}, None
        diagnostics = [item.to_json() for item in compiled.diagnostics]
        return {"ok": True, "oml": text, "diagnostics": diagnostics, **data}, compiled

    def save(self, text: str, name: str, replaces: Sequence[str]) -> JsonValue:
        """Save a text to the output folder, and its plan; return where.

        The file is named `name`, with a number appended if another text has that name, unless its digest is in
        `replaces`.
        """
        file, digest = self._free_file(text, name, replaces)
        saved = api.save_draft(self._workspace, text, file, replaces=digest)
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
        """Run a saved plan under a run id of this conversation: finished steps are not run again.

        The `number`th run of the conversation happens once, however often it is requested; after a failure it resumes.
        """
        from osiris.runner.host.run import RunOptions

        options = RunOptions(run_id=f"{self._conversation}-{number}")
        try:
            plan = api.confirmed_plan(self._workspace, fingerprint)
            result, notes = api.run_target(self._workspace, plan, options, self._ui.progress, params={})
        except (*_FIXABLE, Unavailable) as error:
            diagnostics = [item.to_json() for item in error.diagnostics]
            return {**_NOT_RUN, "run_key": options.run_id, "diagnostics": diagnostics}
        data = api.run_data(self._workspace, result)
        result.acknowledge()
        answer = api.package(self._workspace, result.session_id, {}).document["answer"]
        diagnostics = [item.to_json() for item in (*notes, *result.diagnostics)]
        return {**data, "ok": result.exit_code == 0, "diagnostics": diagnostics, "answer": answer}

    def _free_file(self, text: str, name: str, replaces: Sequence[str]) -> tuple[str, str | None]:
        """Return a file that is free, has this text or may be replaced, and the digest of its current text."""
        number = 1
        while True:
            file = f"{self._out}/{name}.yaml" if number == 1 else f"{self._out}/{name}_{number}.yaml"
            path = self._workspace.root / file
            digest = api.read_draft(path)
            if digest is None or digest in replaces or path.read_bytes() == text.encode():
                return file, digest
            number += 1


def _deciding(manifest: Manifest) -> dict[str, JsonValue]:
    """Return the columns of each source that decide which rows are written."""
    from osiris.compare.lineage import read_lineage

    lineage = read_lineage(manifest)
    columns: dict[str, JsonValue] = {}
    for writer in (step["id"] for step in manifest.steps if step["mode"] == "write"):
        for column in lineage.row_origins(writer):
            columns.setdefault(column.step, []).append(column.name)
    return columns


def _source_diagnostic(error: OsirisError) -> Diagnostic:
    """Return the diagnostic of a source; raises the error if the worker died, which tells nothing about the source."""
    diagnostic = error.diagnostics[0]
    if diagnostic.code in _WORKER_CODES:
        raise error
    return diagnostic


_NOT_RUN: JsonValue = {"session": None, "status": "failed", "steps": {}, "outputs": {}, "ok": False, "answer": None}

_TEXT_CODES = ("CHT", "CMP", "CON", "LCK", "LLM", "OML", "PRJ", "REG", "SQL")
"""Code prefixes of errors in the pipeline's text rather than in data, except those of `_VALUE_CODES`."""

_VALUE_CODES = ("SQL011",)

_WORDS = """
bytes check column component done encoding expected file kind limit path run_key seconds source step table timeout type
where
"""
_SAFE_PARAMETERS = frozenset(_WORDS.split())
"""Parameters of diagnostics that are names or counts. All others may quote a row."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_HIDDEN = "…"


def without_values(problem: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a diagnostic, as JSON, with possible row values masked in its message and hint."""
    code = str(problem["code"])
    row = CODES.get(code)
    is_of_text = code.startswith(_TEXT_CODES) and code not in _VALUE_CODES
    if is_of_text or (row and _SAFE_PARAMETERS.issuperset(_PLACEHOLDER.findall(row.message))):
        return dict(problem)
    masked = f"{row.title}: {_masked(row.message, str(problem['message']))}" if row else code
    hint = problem.get("hint")
    return {**problem, "message": masked, "hint": hint if row and hint == row.hint else None}


def _masked(template: str, message: str) -> str:
    """Return a message with its template's safe parameters kept, and all others masked."""
    parts = _PLACEHOLDER.split(template)
    groups = (
        f"(.+{'?' if name in _SAFE_PARAMETERS else ''})" if at % 2 else re.escape(name) for at, name in enumerate(parts)
    )
    match = re.fullmatch("".join(groups), message, re.DOTALL)
    if match is None:
        return _HIDDEN
    values = iter(match.groups())
    pieces = (next(values) if at % 2 else text for at, text in enumerate(parts))
    return "".join(text if not at % 2 or parts[at] in _SAFE_PARAMETERS else _HIDDEN for at, text in enumerate(pieces))


def choices_for(workspace: Workspace, tables: Iterable[str]) -> Choices:
    """Return the choices for paths and `@FAMILY.ALIAS.TABLE`, with near names beside them; fails as discovery does.

    Any other text is ignored here: it may name one of these relations.
    """
    names_by_source: dict[str, list[str]] = {}
    for text in map(with_slash, tables):
        if source := target_of(workspace.root, text):
            names_by_source.setdefault(source, []).append(text.partition("/")[2] if text.startswith("@") else text)
    sources = [source_of(_discovered(workspace, source, names)) for source, names in names_by_source.items()]
    return read_names({"sources": sources, "writers": writers_of(workspace), "silent": {}})


def target_of(root: Path, text: str) -> str | None:
    """Return the discovery target of a path or `@FAMILY.ALIAS.TABLE`; for a missing path, its folder."""
    if text.startswith("@"):
        return text.partition("/")[0]
    if any(char in text for char in "*?[") or (root / text).exists():
        return text
    return f"{text.rpartition('/')[0]}/*" if "/" in text else None


def _discovered(workspace: Workspace, source: str, names: list[str]) -> JsonValue:
    """Return what discovery finds in a source, with columns for the named tables, case-insensitively."""
    discovery = api.discover(workspace, source).to_json()
    folded = {name.casefold() for name in names}
    unread = [
        each["name"] for each in discovery["tables"] if each["name"].casefold() in folded and each["columns"] is None
    ]
    if unread:
        profiled = {each["name"]: each for each in api.discover(workspace, source, unread).to_json()["tables"]}
        discovery["tables"] = [profiled.get(each["name"], each) for each in discovery["tables"]]
    return discovery


_DATA = re.compile(r"\w\.(csv|tsv|json|jsonl|ndjson|parquet|pq)(\.gz|\.zst)?$", re.IGNORECASE)
_MOST_FOLDERS = 50


def data_folders(workspace: Workspace) -> list[str]:
    """Return a pattern for each project folder that has data files, except Osiris' own."""
    excluded = {workspace.project.logs, workspace.project.build, workspace.project.output}
    folders = sorted(islice(_folders_with_data(workspace.root, excluded), _MOST_FOLDERS))
    return ["*" if folder == "." else f"{folder}/*" for folder in folders]


def data_files(root: Path, folder: str) -> list[str]:
    """Return the data files that a pattern of `data_folders` matches, by name alone."""
    return sorted(each.relative_to(root).as_posix() for each in root.glob(folder) if _is_data(each.name))


def paths_in(words: str, root: Path) -> list[str]:
    """Return the paths and patterns in the person's words that match something."""
    candidates = dict.fromkeys(re.findall(r"[^\s\"'`,;()@]+", words))
    tokens = [token.rstrip(".:!?") for token in candidates]
    return [token for token in tokens if ("/" in token or _is_data(token)) and _exists(root, token)]


def source_of(data: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a discovery result as a source of `names`."""
    source = data["source"]
    target = source["connection"] or source["target"]
    fields = {key: data[key] for key in ("recalled", "tables")}
    return {"target": target, "connection": source["connection"], **fields}


def writers_of(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return the available writers, as `names` lists them."""
    connections = list(map(str, workspace.references()))
    writers = (_writer(spec, connections) for spec in workspace.registry.all() if "write" in spec.modes)
    return list(filter(None, writers))


def _writer(spec: ComponentSpec, connections: Sequence[str]) -> dict[str, JsonValue] | None:
    """Return a component that writes files without a connection, or tables of declared connections; else None."""
    properties = spec.config["properties"]
    entry: dict[str, JsonValue] = {"component": spec.name, "ending": None, "modes": [], "connections": []}
    if "path" in properties and spec.connection != "required" and (ending := _ending(spec)):
        return {**entry, "ending": ending}
    references = [name for name in connections if name.startswith(f"@{spec.family}.")]
    if "table" not in properties or not references:
        return None
    offered = properties.get("write_mode", {}).get("enum", ())
    return {**entry, "modes": [mode for mode in MODES if mode in offered], "connections": references}


def _ending(spec: ComponentSpec) -> str | None:
    """Return the suffix of a component's files, from its first example."""
    paths = (example["config"].get("path") for example in spec.examples)
    return next((PurePosixPath(path).suffix[1:] for path in paths if path), None)


MOST = 10
_LARGEST = 50_000
_TEXT = 120


def earlier_pipelines(workspace: Workspace) -> Iterator[dict[str, JsonValue]]:
    """Yield what the newest pipelines of the project read and write; other files are skipped.

    Descriptions are left out, since a person may have written them. Subfolders are not searched: `output` may hold data
    of any depth.
    """
    folders = (workspace.project.pipelines, workspace.project.output)
    paths = [path for folder in folders for path in folder.glob("*") if path.suffix in PIPELINE_ENDINGS]
    documents = (_pipeline(path) for path in sorted(paths, key=_changed, reverse=True))
    yield from islice(filter(None, documents), MOST)


def _changed(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, str(path)
    except OSError:
        return 0.0, str(path)


def _pipeline(path: Path) -> dict[str, JsonValue] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        data = read_document(load_text(path, path.name), path.name).data
        steps = {mode: [step for step in data.get("steps", ()) if step["mode"] == mode] for mode in ("read", "write")}
        return {
            "name": one_line(data["name"], _TEXT),
            "reads": [_label(step["config"]) for step in steps["read"]],
            "writes": [_label(step["config"]) for step in steps["write"]],
        }
    except (OSError, OsirisError, KeyError, TypeError, AttributeError):
        return None


def _label(config: Mapping[str, JsonValue]) -> str:
    """Return what a step reads or writes: a path, or a table with its connection and mode."""
    if path := config.get("path"):
        return one_line(str(path), _TEXT)
    mode = f", {config['write_mode']}" if "write_mode" in config else ""
    return one_line(f"{config.get('connection', '')}/{config.get('table', 'a query')}{mode}", _TEXT)


def _folders_with_data(root: Path, excluded: set[Path]) -> Iterator[str]:
    """Yield the folders that have data files, those nearest to the root first."""
    waiting = [root]
    for folder in waiting:
        try:
            entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
        except OSError:
            continue
        waiting += [each for each in entries if _is_folder(each) and each not in excluded]
        if any(_is_data(each.name) for each in entries):
            yield folder.relative_to(root).as_posix()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and is_text(path.name)


def _is_data(name: str) -> bool:
    return _DATA.search(name) is not None


def _exists(root: Path, token: str) -> bool:
    try:
        return (root / token).is_file() or any(root.glob(token))
    except (OSError, ValueError, NotImplementedError):
        return False
