"""Where columns come from, told of one plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from osiris.api.pipelines import compile_file
from osiris.api.workspace import find_plan, load_plan
from osiris.compare import Column, label_of, read_lineage, source_name
from osiris.errors import did_you_mean, fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.api.workspace import Workspace
    from osiris.compare import Arrow, Lineage
    from osiris.model import JsonValue, Manifest


@dataclass(frozen=True, slots=True)
class Origin:
    """A column of a source, named as people do (`data/x.csv#a`, `@family.alias.table.a`), and how it is used."""

    source: str
    step: str
    column: str
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class TracedColumn:
    """A column, the sources it is made of, and all arrows that lead to it, the nearest first."""

    name: str
    origins: tuple[Origin, ...]
    arrows: tuple[Arrow, ...]


@dataclass(frozen=True, slots=True)
class TracedStep:
    """Columns of a step, and the source columns that decide its rows; `target` is what a writer writes."""

    step: str
    target: str | None
    columns: tuple[TracedColumn, ...]
    rows: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """The lineage that was asked for: of every writer, of one step, or of one column."""

    name: str
    fingerprint: str
    column: str | None
    steps: tuple[TracedStep, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data; an arrow is `[[step, column], [step, column], kind]`."""
        return asdict(self)


def trace(workspace: Workspace, what: str | None, target: str | None) -> Traced:
    """Return the lineage of STEP or STEP.COLUMN, or of all writers, in a plan, a pipeline, or what was compiled last.

    Fails with CMP042 or DAT005 if the plan has no such step or column.
    """
    manifest = _plan(workspace, target)
    lineage = read_lineage(manifest)
    writers: list[tuple[str, str | None]] = [(step["id"], None) for step in manifest.steps if step["mode"] == "write"]
    asked = [_asked(manifest, lineage, what)] if what else writers
    labels = {step["id"]: label_of(step, manifest.data["connections"]) for step in manifest.steps}
    modes = {step["id"]: step["mode"] for step in manifest.steps}
    steps = tuple(
        TracedStep(
            step=step,
            target=labels[step] if modes[step] == "write" else None,
            columns=tuple(_traced(lineage, labels, c) for c in lineage.of(step) if name in (None, c.name)),
            rows=tuple(_origin(labels, origin) for origin in lineage.row_origins(step)),
        )
        for step, name in asked
    )
    return Traced(manifest.name, manifest.fingerprint, asked[0][1] if what else None, steps)


def _plan(workspace: Workspace, target: str | None) -> Manifest:
    from osiris.compiler.manifest import last_compiled

    file = find_plan(workspace, target) if target else last_compiled(workspace.project)
    if file is None:
        return compile_file(workspace, str(target), params={}).manifest
    return load_plan(workspace, file, allow_drift=True)[0]


def _asked(manifest: Manifest, lineage: Lineage, what: str) -> tuple[str, str | None]:
    """Return the step and column that a text names; both may have dots."""
    steps = [name for name in lineage.columns if what == name or what.startswith(f"{name}.")]
    if not steps:
        step = what.partition(".")[0]
        fail("CMP042", plan=manifest.name, step=step, hint=did_you_mean(step, lineage.columns))
    step = max(steps, key=len)
    column = what[len(step) + 1 :] or None
    if column is not None and column not in lineage.columns[step]:
        fail("DAT005", column=column, where=f"step '{step}'", hint=did_you_mean(column, lineage.columns[step]))
    return step, column


def _traced(lineage: Lineage, labels: Mapping[str, str], column: Column) -> TracedColumn:
    origins = [_origin(labels, origin, kind) for origin, kind in lineage.origins(column).items()]
    return TracedColumn(column.name, tuple(origins), tuple(lineage.upstream(column)))


def _origin(labels: Mapping[str, str], column: Column, kind: str | None = None) -> Origin:
    return Origin(source_name(labels[column.step], column.name), column.step, column.name, kind)
