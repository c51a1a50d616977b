"""The world as it is: sources, the model, files, runs, and the person, through `osiris.api` alone."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from osiris import api
from osiris.chat.earlier import earlier_pipelines
from osiris.chat.problems import without_values
from osiris.chat.request import MODES
from osiris.errors import InvalidInput, OsirisError, StepFailed, Unavailable
from osiris.files import is_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.api import Compiled, Workspace
    from osiris.chat.intent import Question
    from osiris.chat.provider_api import Answer, Model, ModelRequest
    from osiris.errors import Diagnostic
    from osiris.model import ComponentSpec, JsonValue, Manifest
    from osiris.runner.per_job_worker import Worker

DRAFT = "output/draft.yaml"
"""As which file a text is checked that is none yet."""

_DATA = re.compile(r"\w\.(csv|tsv|json|jsonl|ndjson|parquet|pq)(\.gz|\.zst)?$", re.IGNORECASE)
_MOST_FOLDERS = 50
_NOT_DISCOVERED = "DSC001"
_OF_WORKER = ("RUN001", "RUN007")
"""Code of a connection that has no tables to look at: it may still be written to."""

_MENDABLE = (InvalidInput, StepFailed)
"""What a pipeline that is written otherwise may mend."""


class Mouth(Protocol):
    """The person's side: a terminal, or whatever a command was given."""

    def hear(self, question: Question | None) -> str:
        """Return the person's next words; raises `effects.Waiting` if there are none."""
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


class LiveWorld:
    """The world of a conversation in a project; `conversation` is its id, which names the runs that it starts.

    `samples` (none, masked or raw) are the rows that the model may see; `out` is the folder in which pipelines are
    saved, below output/ or pipelines/.
    """

    def __init__(
        self,
        workspace: Workspace,
        model: Model,
        mouth: Mouth,
        conversation: str,
        *,
        samples: str = "none",
        out: str | None = None,
    ) -> None:
        self._workspace = workspace
        self._model = model
        self._mouth = mouth
        self._conversation = conversation
        self._samples = samples
        self._out = out or workspace.project.output.name
        self._draft = workspace.root / DRAFT

    def hear(self, question: Question | None) -> str:
        """Return the person's next words."""
        return self._mouth.hear(question)

    def edit(self, text: str) -> str:
        """Have the person edit a text."""
        return self._mouth.edit(text)

    def tell(self, kind: str, **data: JsonValue) -> None:
        """Show something."""
        self._mouth.show(kind, data)

    def ask(self, request: ModelRequest) -> Answer:
        """Return what the model answers; what is wrong quotes values of rows only if it may see rows as they are."""
        if self._samples != "raw":
            request = replace(request, problems=tuple(map(without_values, request.problems)))
        return self._model.complete(request)

    def names(self, words: str) -> JsonValue:
        """Return the tables of all declared connections and the data files of the project, and what can be written."""
        connections = references(self._workspace)
        sources, silent = [], {}
        for target in [*connections, *data_folders(self._workspace), *_paths(words, self._workspace.root)]:
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
        from osiris.chat.prompts import component_document

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
            data = self._plan(compiled)
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
            result, notes = api.run_target(self._workspace, plan, options, self._mouth.progress, params={})
        except (*_MENDABLE, Unavailable) as error:
            found = [item.to_json() for item in error.diagnostics]
            return {**_NOT_RUN, "run_key": options.run_id, "diagnostics": found}
        data = api.run_data(self._workspace, result)
        result.acknowledge()
        answer = api.package(self._workspace, result.session_id, {}).document["answer"]
        found = [item.to_json() for item in (*notes, *result.diagnostics)]
        return {**data, "ok": result.exit_code == 0, "diagnostics": found, "answer": answer}

    def _plan(self, compiled: Compiled) -> dict[str, JsonValue]:
        before = api.previous_plan(self._workspace, compiled.manifest)
        tables = api.look_at_tables(self._workspace, compiled)
        outputs = api.outputs_of(self._workspace, compiled)
        root, manifest = self._workspace.root, compiled.manifest
        view = api.plan_view(root, manifest, compiled.described, before, *tables, outputs=outputs)
        return {**api.compiled_data(compiled, view), "deciding": _deciding(compiled.manifest)}

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


def references(workspace: Workspace) -> list[str]:
    """Return the declared connections."""
    declared = workspace.connections().declared
    return [f"@{family}.{alias}" for family, aliases in sorted(declared.items()) for alias in sorted(aliases)]


def data_folders(workspace: Workspace) -> list[str]:
    """Return a pattern for each folder of the project that has data files; what Osiris itself writes is none."""
    own = {workspace.project.logs, workspace.project.build, workspace.project.output}
    found = sorted(islice(_with_data(workspace.root, own), _MOST_FOLDERS))
    return ["*" if folder == "." else f"{folder}/*" for folder in found]


def _with_data(root: Path, without: set[Path]) -> Iterator[str]:
    """Yield the folders that have data files, the nearest to the root first."""
    waiting = [root]
    for folder in waiting:
        try:
            inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
        except OSError:
            continue
        waiting += [each for each in inside if _is_looked_into(each) and each not in without]
        if any(_is_data(each.name) for each in inside):
            yield folder.relative_to(root).as_posix()


def data_files(root: Path, folder: str) -> list[str]:
    """Return the data files that a pattern of `data_folders` has, by their names alone."""
    return sorted(each.relative_to(root).as_posix() for each in root.glob(folder) if _is_data(each.name))


def _is_looked_into(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and is_text(path.name)


def _is_data(name: str) -> bool:
    return _DATA.search(name) is not None


def _paths(words: str, root: Path) -> list[str]:
    """Return the paths and patterns in the person's words under which there is something."""
    told = dict.fromkeys(re.findall(r"[^\s\"'`,;()@]+", words))
    tokens = [token.rstrip(".:!?") for token in told]
    return [token for token in tokens if ("/" in token or _is_data(token)) and _is_there(root, token)]


def _is_there(root: Path, token: str) -> bool:
    try:
        return (root / token).is_file() or any(root.glob(token))
    except (OSError, ValueError, NotImplementedError):
        return False


def source_of(data: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a source as `names` tells it, from what discovery does."""
    source = data["source"]
    target = source["connection"] or source["target"]
    return {
        "target": target,
        "connection": source["connection"],
        "recalled": data["recalled"],
        "tables": data["tables"],
    }


def writers_of(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return what can be written, as `names` has it."""
    return list(_writers(workspace.registry.all(), references(workspace)))


def _writers(specs: Iterable[ComponentSpec], connections: Sequence[str]) -> Iterator[dict[str, JsonValue]]:
    """Yield the components that write files without a connection, or tables of the connections that are declared."""
    for spec in specs:
        properties = spec.config["properties"]
        told: dict[str, JsonValue] = {"component": spec.name, "ending": None, "modes": [], "connections": []}
        own = [name for name in connections if name.startswith(f"@{spec.family}.")]
        if "write" not in spec.modes:
            continue
        if "path" in properties and spec.connection != "required" and (ending := _ending(spec)):
            yield {**told, "ending": ending}
        elif "table" in properties and own:
            offered = properties.get("write_mode", {}).get("enum", ())
            yield {**told, "modes": [mode for mode in MODES if mode in offered], "connections": own}


def _ending(spec: ComponentSpec) -> str | None:
    """Return the ending of a component's files, as its first example has it."""
    paths = (example["config"].get("path") for example in spec.examples)
    return next((PurePosixPath(path).suffix[1:] for path in paths if path), None)
