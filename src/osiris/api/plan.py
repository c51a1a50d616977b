"""Views of a plan before it runs, and source drift seen by earlier runs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from osiris.api.workspace import load_plan
from osiris.compare.lineage import KINDS, label_of, labels_of, read_lineage
from osiris.delivery import MANIFEST
from osiris.durable import write_file
from osiris.errors import OUT_OF_REACH, OsirisError, diagnostic, exit_code, raise_all, sort_diagnostics
from osiris.family_spec import find_family
from osiris.files import refuse_foreign, resolve_path
from osiris.history.record import plan_of
from osiris.model import schema_from_json
from osiris.report.plan import FlowView, PairView, PlanView, StepView, TargetView
from osiris.session.finding import iter_sessions
from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.compare.read_back import OutputText
    from osiris.errors import Diagnostic
    from osiris.model import Described, JsonValue, Manifest

    Flows = dict[tuple[str, str], dict[str, str]]

_VERBS = {"append": "appends to", "upsert": "upserts into", "replace": "creates or replaces"}
"""Actions by write mode for a table that may or may not exist."""

_BY_STATE = {"there": {**_VERBS, "replace": "replaces"}, "absent": dict.fromkeys(_VERBS, "creates")}
_RECENT = 50
"""Maximum number of sessions searched for the newest run of a pipeline."""

_SECONDS = len("2026-01-01T00:00:00")


class Tables(NamedTuple):
    """What is known of the tables of writers, by step: `there` or `absent`, and an existing table of a similar name."""

    states: Mapping[str, str]
    near: Mapping[str, str]


def plan_view(
    root: Path,
    manifest: Manifest,
    described: Mapping[str, Described],
    previous: Manifest | None,
    states: Mapping[str, str] | None = None,
    near: Mapping[str, str] | None = None,
    outputs: Sequence[OutputText] | None = None,
    keeping: Collection[str] = (),
) -> PlanView:
    """Return the view of a plan; `outputs`, to be included with its cuts, are those of `api.outputs_of`.

    `described` has the sources' descriptions by step, for their row counts. `previous` is the plan that this one
    replaces. `states` and `near` are as in `Tables`. `keeping` are the transforms that return exactly one row for each
    row of their only input.
    """
    tables = Tables(states or {}, near or {})
    flows, before = data_flows(manifest), data_flows(previous) if previous else {}
    return PlanView(
        name=manifest.name,
        fingerprint=manifest.fingerprint,
        description=manifest.data["pipeline"].get("description"),
        previous=previous.fingerprint if previous else None,
        steps=tuple(_steps(manifest, described, keeping)),
        targets=tuple(_target(root, manifest, step, tables) for step in manifest.steps if step["mode"] == "write"),
        flows=tuple(FlowView(source, target, columns) for (source, target), columns in flows.items()),
        new_flows=tuple(_new_flows(flows, before)),
        read_back=None if outputs is None else tuple(output.to_json() for output in outputs),
        pairs=tuple(_pairs(manifest, previous)),
        gone=tuple(_no_longer_written(manifest, previous)),
        cuts=None if outputs is None else cuts_of(manifest),
    )


def cuts_of(manifest: Manifest) -> tuple[dict[str, JsonValue], ...]:
    """Return how each SQL step of a plan can be computed in parts, as `compare.StepCut.to_json`."""
    from osiris.compare.cuts import step_cuts  # loads sqlglot

    return tuple(each.to_json() for each in step_cuts(manifest))


def _pairs(manifest: Manifest, previous: Manifest | None) -> Iterator[PairView]:
    """Yield the tables of entries of `replicate`, sorted by entry and step."""
    labels, before = labels_of(manifest), _replicated(previous)
    readers = {step["id"]: step["config"] for step in manifest.steps if step["mode"] == "read"}
    for name, (source, step) in sorted(_replicated(manifest).items()):
        config, entry = step["config"], step["entry"]
        mode = config.get("write_mode", "replace")
        cursor, deletes = _cursor_text(readers[source].get("cursor")), _deletes_text(config.get("deletes"))
        is_new = previous is not None and name not in before
        yield PairView(name, entry, labels[source], labels[name], mode, cursor, deletes, is_new)


def _no_longer_written(manifest: Manifest, previous: Manifest | None) -> Iterator[str]:
    """Yield the sources of pairs that only the previous plan has."""
    now, labels = _replicated(manifest), labels_of(previous) if previous else {}
    yield from sorted(labels[source] for name, (source, _) in _replicated(previous).items() if name not in now)


def _replicated(manifest: Manifest | None) -> dict[str, tuple[str, dict[str, JsonValue]]]:
    """Return the extractor's id and the writer of each pair, by the writer's id."""
    steps = manifest.steps if manifest else []
    return {step["id"]: (step["needs"][0], step) for step in steps if "entry" in step and step["mode"] == "write"}


def _cursor_text(cursor: JsonValue) -> str | None:
    if not isinstance(cursor, dict):
        return None if cursor is None else str(cursor)
    late = cursor.get("late", "open_transactions")
    return f"{cursor['column']}, late: {late if isinstance(late, str) else late['lag']}"


def _deletes_text(deletes: JsonValue) -> str | None:
    if not isinstance(deletes, dict):
        return None
    words = [f"column {deletes['column']}" if "column" in deletes else deletes["compare"]]
    return ", ".join([*words, *(str(deletes[key]) for key in ("every", "as", "at_most") if key in deletes)])


def view_plan(workspace: Workspace, compiled: Compiled, *, explained: bool = True) -> PlanView:
    """Return the view of a fresh plan, compared with the previous one, with what is known of its tables.

    `explained` adds a description of each output. Fails as `inspect_tables`.
    """
    from osiris.compiler.statements import row_keeping

    before, tables = previous_plan(workspace, compiled.manifest), inspect_tables(workspace, compiled)
    outputs = None
    if explained:
        from osiris.api.previews import outputs_of

        outputs = outputs_of(workspace, compiled)
    manifest, described = compiled.manifest, compiled.described
    is_any_known = any(answer.rows is not None for answer in described.values())
    keeping = row_keeping(compiled.prepared) if is_any_known else ()
    return plan_view(workspace.root, manifest, described, before, *tables, outputs=outputs, keeping=keeping)


def inspect_tables(workspace: Workspace, compiled: Compiled) -> Tables:
    """Return what is known of the tables of a plan's writers that can be inspected while compiling.

    These are in database files whose path has no variables, as compiling requires none. A worker inspects existing
    files. Fails with the problems of tables that cannot accept their rows, except temporary ones such as locks.
    """
    manifest = compiled.manifest
    if not any(_database(workspace.root, manifest, step) for step in manifest.steps if step["mode"] == "write"):
        return Tables({}, {})
    from osiris.runner.host.describe import confirmable_targets, problems_of, query_targets

    targets = confirmable_targets(manifest, workspace.registry)
    files = {step["id"]: _database(workspace.root, manifest, step) for step in targets}
    inspected = [step for step in manifest.steps if _is_worth_asking(step, files.get(step["id"]))]
    answers = query_targets(workspace.project, manifest, workspace.config, inspected, workspace.environ)
    problems = [item for answer in answers.values() for item in problems_of(workspace.root, compiled.pipeline, answer)]
    if lasting := list(filter(_is_lasting, problems)):
        raise_all(sort_diagnostics(lasting))
    tables = tables_of(answers)
    return Tables({**dict.fromkeys(_missing_files(files), "absent"), **tables.states}, tables.near)


def _is_lasting(item: Diagnostic) -> bool:
    """Return whether a problem of a target will still exist when the plan runs."""
    return exit_code([item]) not in (0, OUT_OF_REACH)


def _missing_files(files: Mapping[str, Path | None]) -> list[str]:
    """Return the steps whose database file is missing."""
    return [name for name, file in files.items() if file and not file.exists()]


def tables_of(answers: Mapping[str, Mapping[str, JsonValue]]) -> Tables:
    """Return what writers reported of their tables, by step."""
    return Tables(
        {name: str(answer["state"]) for name, answer in answers.items() if answer["state"]},
        {name: str(answer["near"]) for name, answer in answers.items() if answer["near"]},
    )


def _database(root: Path, manifest: Manifest, step: Mapping[str, JsonValue]) -> Path | None:
    """Return the file of a step's database; None if there is none, or it is known only at run time."""
    names = find_family(step["component"].partition(".")[0]).may_name_file
    fields = manifest.data["connections"].get(step["connection"], {})
    (path, *more) = [fields[name] for name in names if isinstance(fields.get(name), str)] or [None]
    return None if path is None or more or "${" in str(fields) else root / path


def _is_worth_asking(step: Mapping[str, JsonValue], file: Path | None) -> bool:
    if file is None:
        return False
    return file.exists() or not step["config"].get("create_if_missing", True)


def previous_plan(workspace: Workspace, manifest: Manifest) -> Manifest | None:
    """Return the pipeline's newest saved plan; None if there is none or it is invalid."""
    from osiris.compiler.manifest import is_manifest, newest_manifest

    file = newest_manifest(workspace.project, manifest.name)
    if file and is_manifest(file.path, manifest):
        return manifest
    try:
        return load_plan(workspace, file, allow_drift=True)[0] if file else None
    except OsirisError:
        return None


class SavedPlan(NamedTuple):
    """The newest saved plan of a pipeline, compared with that of its last run.

    `changes` say what differs, None if no run is on record; `is_older`: the file was changed after the plan was saved.
    """

    manifest: Manifest
    view: PlanView
    changes: list[str] | None
    is_older: bool


def saved_plan(workspace: Workspace, pipeline: str, file: str, session: str | None) -> SavedPlan | None:
    """Return the newest saved plan of the pipeline in a file; None if there is none, fails as `load_plan`.

    `session` is that of its last run, None if there is none.
    """
    from osiris.compare.differences import diff
    from osiris.compiler.manifest import newest_manifest

    saved = newest_manifest(workspace.project, pipeline)
    if saved is None:
        return None
    manifest, _ = load_plan(workspace, saved, allow_drift=True)
    before = plan_of(workspace.project.logs / session) if session else None
    changes = [str(each) for each in diff(before, manifest)] if before else None
    is_older = saved.path.stat().st_mtime < (workspace.root / file).stat().st_mtime
    return SavedPlan(manifest, plan_view(workspace.root, manifest, {}, before), changes, is_older)


def write_page(view: PlanView, path: Path) -> None:
    """Write the HTML page of a plan atomically; fails with PRJ006 or PRJ014."""
    from osiris.report.pages import plan_page
    from osiris.report.template import is_page

    refuse_foreign(path, is_page)
    write_file(path.absolute(), plan_page(view).encode("utf-8"), private=False)


def data_flows(manifest: Manifest) -> Flows:
    """Return the columns that flow to each target, each with the closest kind, by source and target."""
    lineage = read_lineage(manifest)
    labels = labels_of(manifest)
    flows: Flows = {}
    for writer in (step["id"] for step in manifest.steps if step["mode"] == "write"):
        for source in sorted(name for name in lineage.above(writer) if not lineage.inputs[name]):
            flows.setdefault((labels[source], labels[writer]), {})
        for column in lineage.of(writer):
            for origin, kind in lineage.origins(column).items():
                columns = flows[labels[origin.step], labels[writer]]
                columns[origin.name] = min(kind, columns.get(origin.name, kind), key=KINDS.index)
    return flows


def _new_flows(flows: Flows, before: Flows) -> Iterator[FlowView]:
    """Yield flows that are new, or closer to a copy than before."""
    for pair, columns in flows.items():
        earlier = before.get(pair)
        if earlier is None:
            yield FlowView(*pair, columns)
        elif new := {name: kind for name, kind in columns.items() if _is_closer(kind, earlier.get(name))}:
            yield FlowView(*pair, new, whole=False)


def _is_closer(kind: str, before: str | None) -> bool:
    return before is None or KINDS.index(kind) < KINDS.index(before)


def _steps(manifest: Manifest, described: Mapping[str, Described], keeping: Collection[str]) -> Iterator[StepView]:
    rows = _rows(manifest, described, keeping)
    for step in manifest.steps:
        name, inputs = step["id"], sorted(set(step["inputs"].values()))
        yield StepView(
            id=name,
            component=step["component"],
            mode=step["mode"],
            inputs=tuple(inputs),
            after=tuple(need for need in step["needs"] if need not in inputs),
            label=None if step["mode"] == "transform" else _label(step, manifest.data["connections"]),
            columns=schema_from_json(step["schema"] or []),
            order=step["order"] if step["schema"] else None,
            rows=rows.get(name),
            fused=tuple(step.get("fused") or ()),
        )


def _rows(manifest: Manifest, described: Mapping[str, Described], keeping: Collection[str]) -> dict[str, int | None]:
    """Return the row counts of steps: known from sources, and passed on by steps that keep all rows of their input."""
    rows = {name: answer.rows for name, answer in described.items()}
    for step in manifest.steps:
        inputs = {*step["inputs"].values()}
        if step["mode"] != "read":
            keeps = len(inputs) == 1 and (step["mode"] == "write" or step["id"] in keeping)
            rows[step["id"]] = rows.get(*inputs) if keeps else None
    return rows


def _label(step: Mapping[str, JsonValue], connections: Mapping[str, JsonValue]) -> str:
    """Return the label of a step, with the partition columns of a writer."""
    by = step["config"].get("partition_by") if step["mode"] == "write" else None
    label = label_of(step, connections)
    return f"{label} by {', '.join(by)}" if by else label


def _target(root: Path, manifest: Manifest, step: Mapping[str, JsonValue], tables: Tables) -> TargetView:
    label, config = label_of(step, manifest.data["connections"]), step["config"]
    if not isinstance(config.get("path"), str):
        state = tables.states.get(step["id"], "")
        action = _BY_STATE.get(state, _VERBS).get(config.get("write_mode"), "writes")
        note = _table_note(manifest, step, state, tables.near.get(step["id"]))
        return TargetView(step["id"], label, action, step["delivery"], note=note)
    if family_of(label):  # an object store is not queried, as that needs a key
        return TargetView(step["id"], label, "creates or replaces", step["delivery"])
    if config["path"].endswith("/"):
        return TargetView(step["id"], label, "replaces" if _is_published(root, label) else "creates", step["delivery"])
    size = None if "${" in label else _size(root, label)
    return TargetView(step["id"], label, "creates" if size is None else "replaces", step["delivery"], size)


def _is_published(root: Path, label: str) -> bool:
    try:
        return (resolve_path(root, label) / MANIFEST).is_file()
    except OsirisError:
        return False


def _table_note(manifest: Manifest, step: Mapping[str, JsonValue], state: str, near: str | None) -> str:
    """Return a note on a missing table, or on one whose state is unknown; its name may be misspelled."""
    if state == "absent":
        return f"similar name: '{near}'" if near else ""
    config, fields = step["config"], manifest.data["connections"].get(step["connection"], {})
    is_made = config.get("create_if_missing") is True and config.get("write_mode") != "replace"
    over_rest = not find_family(step["component"].partition(".")[0]).leads_to_database(fields)
    return "created if missing" if is_made and not state and not over_rest else ""


def _size(root: Path, label: str) -> int | None:
    """Return the size of a file in bytes; None if there is none."""
    try:
        return resolve_path(root, label).stat().st_size
    except (OSError, OsirisError):
        return None


def known_drift(workspace: Workspace, compiled: Compiled) -> list[Diagnostic]:
    """Return DAT036 for each source not queried now whose drift from its pin the newest run reported."""
    recent = islice(iter_sessions(workspace.project), _RECENT)
    own = (run for run in recent if (run.get("kind"), run.get("pipeline")) == ("run", compiled.manifest.name))
    run = next(own, None)
    return list(_differing(compiled, run)) if run else []


def _differing(compiled: Compiled, run: Mapping[str, JsonValue]) -> Iterator[Diagnostic]:
    sources, pipeline = compiled.sources, compiled.pipeline
    changed = [problem["message"] for problem in run["diagnostics"] if problem["code"] == "DAT011"]
    for step in sorted(sources.pins.keys() - sources.asked.keys()):
        start, pin = f"step '{step}': ", sources.pins[step]
        problem = ", ".join(message.removeprefix(start) for message in changed if message.startswith(start))
        if problem and run["started_at"][:_SECONDS] >= pin.pinned_at[:_SECONDS]:
            what = {"source": pin.source, "session": run["session"], "file": compiled.file}
            yield diagnostic("DAT036", at=pipeline.where(pipeline.step(step).pointer), problem=problem, **what)
