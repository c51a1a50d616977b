"""Looking at what steps give, before anything is saved or written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.api.pipelines import compile_file, compile_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import Manifest
    from osiris.runner.host.preview import Table
    from osiris.runner.per_job_worker import Worker

LIMIT = 20
SAMPLE = 10_000


@dataclass(frozen=True, slots=True)
class Preview:
    """The tables that were asked for, in the order of the plan, and notes on the plan.

    `cut` names the sources of which only the first `sample` rows were read, `unchecked` the steps that have checks:
    what is true of all rows need not be so of some, so they are left to a run.
    """

    file: str
    tables: Sequence[Table]
    cut: Sequence[str]
    sample: int
    unchecked: Sequence[str]
    diagnostics: tuple[Diagnostic, ...]


def preview(
    workspace: Workspace,
    file: str | Path,
    selection: str | None = None,
    *,
    params: Mapping[str, str],
    limit: int = LIMIT,
    sample: int = SAMPLE,
) -> Preview:
    """Return the first `limit` rows of steps of a file, made of the first `sample` rows of each source (0: of all).

    `selection` is as `runner.selection.matching` reads it; without one it is the input of the last writer, else the
    last step. A writer shows its input. Nothing is saved or written. Fails as compiling does, and with the problems of
    the step that failed.
    """
    from osiris.runner.host.adapters import asked_worker

    with asked_worker(workspace.project, workspace.config) as worker:
        compiled = compile_file(workspace, file, params=params, plain=True, worker=worker)
        return rows_of(workspace, compiled, selection, (limit, sample), worker)


def preview_text(
    workspace: Workspace,
    text: str,
    path: Path,
    selection: str | None = None,
    *,
    limit: int = LIMIT,
    sample: int = SAMPLE,
    worker: Worker,
) -> Preview:
    """Return the same of a text as the file that it would be at `path`; this worker reads."""
    compiled = compile_text(workspace, text, path, params={}, plain=True, worker=worker)
    return rows_of(workspace, compiled, selection, (limit, sample), worker)


def rows_of(
    workspace: Workspace, compiled: Compiled, selection: str | None, size: tuple[int, int], worker: Worker
) -> Preview:
    """Return the same of a plan; `size` is the limit of rows and that of the sample."""
    from osiris.runner.host.preview import Look
    from osiris.runner.host.preview import preview as look_at

    chosen = _chosen(compiled.manifest, selection)
    look = Look(_shown(compiled.manifest, chosen), *size)
    words = (compiled.manifest, compiled.pipeline, look, workspace.config, workspace.environ)
    seen = look_at(workspace.project, *words, worker)
    unchecked = _with_checks(compiled.manifest, [*chosen, *look.shown])
    return Preview(compiled.file, seen.tables, seen.cut, size[1], unchecked, compiled.diagnostics)


def _chosen(plan: Manifest, selection: str | None) -> list[str]:
    from osiris.runner.selection import matching

    return matching(plan, selection) if selection else [_last(plan)]


def _shown(plan: Manifest, chosen: Sequence[str]) -> list[str]:
    """Return the steps whose output is shown, as the plan orders them."""
    steps = {step["id"]: step for step in plan.steps}
    shown = {source for name in chosen for source in _output(steps[name])}
    return [name for name in steps if name in shown]


def _with_checks(plan: Manifest, names: Sequence[str]) -> list[str]:
    """Return those that have checks, of steps and of all that their rows are made of."""
    from osiris.registry import load_registry
    from osiris.runner.selection import with_read

    known = load_registry()
    steps = [step for step in with_read(plan, names) if "checks" in step["config"]]
    return [step["id"] for step in steps if "checks" not in known.get(step["component"]).config["properties"]]


def _last(plan: Manifest) -> str:
    writers = [step["id"] for step in plan.steps if step["mode"] == "write"]
    return str((writers or [step["id"] for step in plan.steps])[-1])


def _output(step: dict[str, object]) -> list[str]:
    inputs = step["inputs"]
    return list(inputs.values()) if step["mode"] == "write" and isinstance(inputs, dict) else [str(step["id"])]
