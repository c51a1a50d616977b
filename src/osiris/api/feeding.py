"""Runs the pipelines of a project one after another, in the order in which they feed each other."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import permutations
from typing import TYPE_CHECKING

from osiris.api.pipelines import validate_file
from osiris.api.replication import Replicated
from osiris.api.runs import run_target
from osiris.api.workspace import pipelines
from osiris.compare.lineage import flow_of
from osiris.compiler.context import sql_fields, topological
from osiris.errors import EXIT_PRECEDENCE, OsirisError, diagnostic, fail, raise_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from osiris.api.pipelines import Validated
    from osiris.api.workspace import Workspace
    from osiris.compare.lineage import Flow
    from osiris.compiler.context import Prepared
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.host.options import RunOptions, RunResult

    Progress = Callable[[dict[str, JsonValue]], None]


_SIGNAL = 128
"""Exit codes of runs that a signal ended are greater."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pipeline to run with others: its name, its file as shown, and the pipelines that write what it reads."""

    name: str
    file: str
    after: tuple[str, ...] = ()


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

    Fails with all problems of the files, RUN060 if no pipeline has the tag, and RUN061 if they feed each other in a
    circle.
    """
    chosen = {file: prepared for file, prepared in _valid(workspace, params).items() if _has_tag(prepared, tag)}
    if not chosen:
        fail("RUN060", tag=tag)
    after = _feeders({prepared.pipeline.name: _flow(prepared) for prepared in chosen.values()})
    files = {prepared.pipeline.name: file for file, prepared in chosen.items()}
    return [Member(name, files[name], after[name]) for name in topological(after)]


def _valid(workspace: Workspace, params: Mapping[str, str]) -> dict[str, Prepared]:
    """Return the checked pipelines by file; fails with the problems of all files, if one has an error."""
    checked = [_checked(workspace, path, params) for path in pipelines(workspace)]
    if not all(each.ok for each in checked):
        raise_all(problem for each in checked if not each.ok for problem in each.diagnostics)
    return {each.file: each.prepared for each in checked if each.prepared}


def _checked(workspace: Workspace, path: Path, params: Mapping[str, str]) -> Validated:
    """Check a file; sources of entries without pinned tables are asked, as what they write is not known otherwise.

    Problems that are only known from a source are left to the run of the pipeline.
    """
    checked = validate_file(workspace, path, params=params, replicated=Replicated(workspace, "unpinned"))
    return checked if checked.ok else validate_file(workspace, path, params=params)


def _has_tag(prepared: Prepared, tag: str | None) -> bool:
    tags = prepared.pipeline.metadata.get("tags")
    return tag is None or (isinstance(tags, list | tuple) and tag in tags)


def _feeders(flows: Mapping[str, Flow]) -> dict[str, tuple[str, ...]]:
    """Return the pipelines that feed each one, itself left out; fails with RUN061 for a cycle."""
    pairs = [(one, other) for one, other in permutations(flows, 2) if flows[one].feeds(flows[other])]
    after = {name: tuple(one for one, other in pairs if other == name) for name in flows}
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        fail("RUN061", pipelines=", ".join(f"'{name}'" for name in error.args[1][:-1]))
    return after


def _flow(prepared: Prepared) -> Flow:
    steps = [
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
    return flow_of(steps, prepared.connections)


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
        try:
            with watch() as progress:
                file = str(workspace.root / member.file)
                result, notes = run_target(workspace, file, options, progress, params=params, strict=strict)
            diagnostics = (*notes, *result.diagnostics)
            ended[member.name] = Ended(member, result.status, result.exit_code, diagnostics, result)
        except OsirisError as error:
            ended[member.name] = Ended(member, "refused", error.exit_code, error.diagnostics)
    return list(ended.values())


def _why_not(member: Member, ended: Mapping[str, Ended]) -> str | None:
    """Return why a pipeline is not run; None if it is."""
    if cancelled := next((each for each in ended.values() if each.status == "cancelled"), None):
        return f"'{cancelled.member.name}' was cancelled"
    failed = [name for name in member.after if ended[name].exit_code or ended[name].status == "skipped"]
    return f"it reads what '{failed[0]}' writes, which did not complete" if failed else None


def combined_code(codes: Iterable[int]) -> int:
    """Return the exit code of several runs: that of a signal, else of the gravest end."""
    given = sorted(codes, reverse=True)
    precedence = (*(code for code in given if code > _SIGNAL), *EXIT_PRECEDENCE, *given, 0)
    return next(code for code in precedence if code in given or code == 0)
