"""What a column, table or file reaches, told over all pipelines of a project."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from osiris.api.freshness import newest_plans
from osiris.compare import (
    PipelineImpact,
    find_source,
    known_sources,
    label_of,
    lock_plan,
    read_plan,
    source_name,
    trace_impact,
)
from osiris.errors import did_you_mean, fail
from osiris.lock import load_lock

if TYPE_CHECKING:
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


@dataclass(frozen=True, slots=True)
class Impact:
    """What a source, or one column of it, reaches; through the targets of pipelines also in those that read them."""

    source: str
    column: str | None
    pipelines: tuple[PipelineImpact, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def name(self) -> str:
        """Return how people name what was asked about."""
        return self.source if self.column is None else source_name(self.source, self.column)

    def to_json(self) -> dict[str, JsonValue]:
        """Return what is reached as plain data."""
        pipelines = [asdict(pipeline) for pipeline in self.pipelines]
        return {"source": self.source, "column": self.column, "pipelines": pipelines}


def find_impact(workspace: Workspace, what: str) -> Impact:
    """Return what `@family.alias.table.column`, `PATH#column`, a table or a file reaches.

    Nothing is compiled: the newest plan of each pipeline is read, and files that have none, or say something else by
    now, are named by CMP040. Fails with CMP041 if neither a plan nor osiris.lock knows what is named.
    """
    manifests, notes = newest_plans(workspace)
    plans = [read_plan(manifest) for manifest in manifests]
    known = [*plans, lock_plan(_pinned(workspace))]
    found = find_source(known, what)
    if found is None:
        sources = known_sources(known)
        columns = (source_name(label, column) for label, names in sources.items() for column in names)
        fail("CMP041", what=what, hint=did_you_mean(what, [*sources, *columns]))
    source, column = found
    return Impact(source, column, trace_impact(plans, source, column), tuple(notes))


def _pinned(workspace: Workspace) -> dict[str, list[str]]:
    """Return the columns of all sources in osiris.lock, also those that no plan reads."""
    declared = workspace.connections().declared
    fields = {f"@{family}.{alias}": each for family, aliases in declared.items() for alias, each in aliases.items()}
    found: dict[str, list[str]] = {}
    for key, pin in load_lock(workspace.project).items():
        step = {"id": key[:12], "config": pin.source.config, "connection": pin.source.connection, "component": ""}
        found.setdefault(label_of(step, fields), []).extend(column.name for column in pin.schema)
    return found
