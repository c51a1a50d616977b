"""Runs the pipelines of a project one after another, in the order in which they feed each other."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import permutations, product
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.api.openlineage import known_fields
from osiris.api.pipelines import declared_names, validate_file
from osiris.api.replication import Replicated
from osiris.api.runs import run_target
from osiris.api.workspace import load_plan, pipelines
from osiris.compare.lineage import Flow, Read, flow_of
from osiris.compiler.context import sql_fields, topological
from osiris.errors import EXIT_PRECEDENCE, OsirisError, diagnostic, exit_code, fail, raise_all
from osiris.family_spec import family_of_connection
from osiris.path_policy import real_path
from osiris.report.openlineage import datasets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Set
    from contextlib import AbstractContextManager

    from osiris.api.pipelines import Validated
    from osiris.api.workspace import Workspace
    from osiris.compiler.context import Prepared
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.report.openlineage import Dataset
    from osiris.runner.host.options import RunOptions, RunResult

    Progress = Callable[[dict[str, JsonValue]], None]


_LOOPBACK = re.compile(r"^(?:127\.0\.0\.1|::1)(?=:)")
"""Other names of localhost, before the port of a server."""

_NOT_THERE = ("DRV001", "DRV012")
"""Codes of files and tables that do not exist."""

_SIGNAL = 128
"""Exit codes of runs that a signal ended are greater."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pipeline to run with others: its name, its file as shown, and the pipelines that write what it reads.

    One whose file has errors has them as `problems`, and is not run. `fed` has which pipeline writes the input of a
    step, by the place of the step in the file.
    """

    name: str
    file: str
    after: tuple[str, ...] = ()
    problems: tuple[Diagnostic, ...] = ()
    fed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """How one of several pipelines ended: `status` is that of its run, `refused` (it did not start) or `skipped`."""

    member: Member
    status: str
    exit_code: int
    diagnostics: tuple[Diagnostic, ...] = ()
    result: RunResult | None = None


def find_members(workspace: Workspace, tag: str | None, *, params: Mapping[str, str]) -> list[Member]:
    """Return the pipelines of pipelines/, or those with a tag in `metadata.tags`, each after those that feed it.

    Files with errors are members too, as what reads their output must not run. Fails with all problems if no file is
    valid, with RUN060 if no pipeline has the tag, and with RUN061 if they feed each other in a circle.
    """
    checked = {path: _checked(workspace, path, params) for path in pipelines(workspace)}
    if not any(each.ok for each in checked.values()):
        raise_all(problem for each in checked.values() for problem in each.diagnostics)
    valid = [(each.file, each.prepared) for each in checked.values() if each.prepared]
    chosen = [
        (Member(p.pipeline.name, file), _flow_of(workspace, flowing_steps(p), p.connections))
        for file, p in valid
        if _has_tag(p.pipeline.metadata, tag)
    ]
    broken = {path: each for path, each in checked.items() if not each.ok}
    chosen += _broken_members(workspace, broken, {prepared.pipeline.name for _, prepared in valid}, tag)
    if not chosen:
        fail("RUN060", tag=tag)
    flows = {member.name: flow for member, flow in chosen}
    after, members = _feeders(flows), {member.name: member for member, _ in chosen}
    places = {(p.pipeline.name, step.id): step.pointer for _, p in valid for step in p.pipeline.steps}
    return [
        replace(members[name], after=after[name], fed=_fed(name, flows, after, places)) for name in topological(after)
    ]


def find_feeders(workspace: Workspace) -> dict[str, tuple[Member, ...]]:
    """Return the pipelines of pipelines/ that write what each valid one reads; asks no source.

    Files with errors are among them, as `find_members` finds them; pipelines may feed each other in a circle.
    """
    names, paths = declared_names(workspace), pipelines(workspace, strict=False)
    checked = {path: validate_file(workspace, path, params={}, names=names) for path in paths}
    valid = [(each.file, each.prepared) for each in checked.values() if each.prepared]
    broken = {path: each for path, each in checked.items() if not each.ok}
    every = [(Member(p.pipeline.name, f), _flow_of(workspace, flowing_steps(p), p.connections)) for f, p in valid]
    every += _broken_members(workspace, broken, {member.name for member, _ in every}, None)
    return {
        reader.name: tuple(writer for writer, feeds in every if writer is not reader and feeds.feeds(flow))
        for reader, flow in every
    }


def _broken_members(
    workspace: Workspace, broken: Mapping[Path, Validated], valid: Set[str], tag: str | None
) -> Iterator[tuple[Member, Flow]]:
    """Yield the files with errors that may have the tag; one without a name of its own is named by its file."""
    names = set(valid)
    for path, each in broken.items():
        data = _readable_part(workspace, path)
        if _may_have_tag(data.get("metadata"), tag):
            name = str(data.get("name") or path.stem)
            member = Member(each.file if name in names else name, each.file, problems=each.diagnostics)
            yield member, Flow((), _written_by_broken(workspace, name, data))
            names.add(name)


def _fed(
    name: str, flows: Mapping[str, Flow], after: Mapping[str, tuple[str, ...]], places: Mapping[tuple[str, str], str]
) -> dict[str, str]:
    """Return which pipeline writes the input of a step, by the place of the step."""
    return {
        places[name, read.step]: feeder
        for read, feeder in product(flows[name].reads, after[name])
        if flows[feeder].feeds(Flow((read,), {}))
    }


def _checked(workspace: Workspace, path: Path, params: Mapping[str, str]) -> Validated:
    """Check a file; sources of entries without pinned tables are asked, as what they write is not known otherwise.

    Problems that are only known from a source are left to the run of the pipeline.
    """
    checked = validate_file(workspace, path, params=params, replicated=Replicated(workspace, "unpinned"))
    return checked if checked.ok else validate_file(workspace, path, params=params)


def _has_tag(metadata: JsonValue, tag: str | None) -> bool:
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return tag is None or (isinstance(tags, list | tuple) and tag in tags)


def _may_have_tag(metadata: JsonValue, tag: str | None) -> bool:
    """Return whether a file with errors counts as one with a tag: also if its tags cannot be read or are missing."""
    has_tags = isinstance(metadata, Mapping) and isinstance(metadata.get("tags"), list | tuple)
    return not has_tags or _has_tag(metadata, tag)


def _readable_part(workspace: Workspace, path: Path) -> dict[str, JsonValue]:
    """Return the content of a file with errors; {} if it is no YAML."""
    from osiris.oml.parse import load_document

    try:
        return dict(load_document(path, workspace.root).data)
    except OsirisError:
        return {}


def _written_by_broken(workspace: Workspace, name: str, data: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return what a pipeline writes whose file has errors: as its newest plan says, and its steps that can be read."""
    from osiris.compiler.manifest import newest_manifest

    writes: dict[str, str] = {}
    if plan := newest_manifest(workspace.project, name):
        with suppress(OsirisError):
            manifest = load_plan(workspace, plan, allow_drift=True)[0]
            writes |= _flow_of(workspace, manifest.steps, manifest.data["connections"]).writes
    steps, connections = data.get("steps"), _declared(workspace)
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        config = step.get("config") if isinstance(step, dict) and step.get("mode") == "write" else None
        if isinstance(config, dict):
            connection = str(config["connection"]) if "connection" in config else None
            named = {"id": f"/steps/{number}", "component": str(step.get("component")), "mode": "write", "sql": {}}
            with suppress(OsirisError):
                flow = _flow_of(workspace, [{**named, "config": config, "connection": connection}], connections)
                writes |= flow.writes
    return writes


def _declared(workspace: Workspace) -> dict[str, dict[str, JsonValue]]:
    """Return the fields of each declared connection as written, by reference."""
    return {
        f"@{family}.{alias}": dict(fields)
        for family, aliases in workspace.connections().declared.items()
        for alias, fields in aliases.items()
        if isinstance(fields, Mapping)
    }


def _feeders(flows: Mapping[str, Flow]) -> dict[str, tuple[str, ...]]:
    """Return the pipelines that feed each one, itself left out; fails with RUN061 for a cycle."""
    pairs = [(one, other) for one, other in permutations(flows, 2) if flows[one].feeds(flows[other])]
    after = {name: tuple(one for one, other in pairs if other == name) for name in flows}
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        fail("RUN061", pipelines=", ".join(f"'{name}'" for name in error.args[1][:-1]))
    return after


def flowing_steps(prepared: Prepared) -> list[dict[str, JsonValue]]:
    """Return the steps of a checked pipeline as those of a plan, without what only compiling tells."""
    return [
        {
            "id": step.id,
            "mode": step.mode,
            "component": step.component,
            "config": step.config,
            "connection": str(step.connection) if step.connection else None,
            "sql": {
                key: name for key, name in sql_fields(prepared.specs[step.component]).items() if key in step.config
            },
        }
        for step in prepared.pipeline.steps
    ]


def _flow_of(
    workspace: Workspace, steps: Iterable[Mapping[str, JsonValue]], connections: Mapping[str, Mapping[str, JsonValue]]
) -> Flow:
    """Return what steps of a plan read and write: one place has one name, however a path or connection spells it."""
    # What a secret store or an unset variable keeps back is compared as it is written.
    fields = {**connections, **known_fields(workspace, connections)}
    reads, writes = list[Read](), dict[str, str]()
    for step in (each for each in steps if each["mode"] != "transform"):
        datasets = [*datasets_of(step, fields, workspace.root, {})]
        names = tuple(_name(each, step, workspace.root) for each in datasets)
        if any(each.namespace.startswith("@") for each in datasets):  # where its connection leads is not known
            labels = flow_of([step], connections)
            names = labels.reads[0].sources if labels.reads else tuple(labels.writes.values())
        if step["mode"] == "read":
            reads.append(Read(step["id"], names))
        else:
            writes[step["id"]] = names[0]
    return Flow(tuple(reads), writes)


def _name(dataset: Dataset, step: Mapping[str, JsonValue], root: Path) -> str:
    """Return a name of a dataset: the real path of a file, a URL, or a table with its server or real file."""
    if dataset.namespace == "file":
        fixed = re.split(r"[*?\[]|\$\{", dataset.name, maxsplit=1)[0]
        folder = dataset.name if fixed == dataset.name else posixpath.dirname(fixed)
        slash = "/" * step["config"]["path"].endswith("/")
        return f"{real_path(Path(folder))}{dataset.name.removeprefix(folder)}{slash}"
    if isinstance(step["config"].get("path"), str):
        return f"{dataset.namespace}/{dataset.name}"
    scheme, mark, address = dataset.namespace.partition("://")
    if mark and address.startswith("/"):
        address = str(real_path(root / address))
    family = family_of_connection(step["connection"] or "@")
    return f"{scheme}{mark}{_LOOPBACK.sub('localhost', address)} {family.fold(dataset.name)}"


def run_members(
    workspace: Workspace,
    members: Iterable[Member],
    options: RunOptions,
    watch: Callable[[], AbstractContextManager[Progress]],
    *,
    params: Mapping[str, str],
    strict: bool = False,
) -> list[Ended]:
    """Run pipelines one after another; those that read from one that did not succeed are skipped (RUN062).

    `watch` provides the progress of each. A signal ends the running one, and skips the rest. The caller must call
    `RunResult.acknowledge` of each result.
    """
    ended: dict[str, Ended] = {}
    for member in members:
        if why := _why_not(member, ended):
            skipped = diagnostic("RUN062", pipeline=member.name, why=why)
            ended[member.name] = Ended(member, "skipped", 0, (skipped,))
            continue
        if member.problems:
            ended[member.name] = Ended(member, "refused", exit_code(member.problems), member.problems)
            continue
        try:
            with watch() as progress:
                file = str(workspace.root / member.file)
                result, notes = run_target(workspace, file, options, progress, params=params, strict=strict)
            diagnostics = (*notes, *result.diagnostics)
            ended[member.name] = Ended(member, result.status, result.exit_code, diagnostics, result)
        except OsirisError as error:
            ended[member.name] = Ended(member, "refused", error.exit_code, error.diagnostics)
    return list(ended.values())


def without_awaited(member: Member, problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the problems of a dry run, with a note instead of each input that another pipeline is yet to write."""
    kept: list[Diagnostic] = []
    for item in problems:
        pointer = f"{item.location.pointer or ''}/"
        feeder = next((one for place, one in member.fed.items() if pointer.startswith(f"{place}/")), None)
        if feeder is not None and item.code in _NOT_THERE:
            item = diagnostic("RUN063", at=item.location, pipeline=member.name, feeder=feeder)
        kept.append(item)
    return kept


def _why_not(member: Member, ended: Mapping[str, Ended]) -> str | None:
    """Return why a pipeline is not run; None if it is."""
    if cancelled := next((each for each in ended.values() if each.status == "cancelled"), None):
        return f"'{cancelled.member.name}' was cancelled"
    failed = [name for name in member.after if ended[name].exit_code or ended[name].status == "skipped"]
    return lacks_input(failed[0]) if failed else None


def lacks_input(feeder: str) -> str:
    """Return why a pipeline is not run that reads from one that did not complete."""
    return f"it reads what '{feeder}' writes, which did not complete"


def combined_code(codes: Iterable[int]) -> int:
    """Return the exit code of several runs: that of a signal, else of the gravest end."""
    given = sorted(codes, reverse=True)
    precedence = (*(code for code in given if code > _SIGNAL), *EXIT_PRECEDENCE, *given, 0)
    return next(code for code in precedence if code in given or code == 0)
