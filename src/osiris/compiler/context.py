"""The input of checks and passes: a pipeline and its surroundings."""

from __future__ import annotations

import heapq
from contextlib import suppress
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeAlias

from osiris.connections import as_written
from osiris.errors import OsirisError
from osiris.model import ConnectionRef
from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
    from pathlib import Path

    from osiris.connections import Connections
    from osiris.errors import Location
    from osiris.model import ComponentSpec, JsonValue, Pipeline, Step
    from osiris.registry import Registry
    from osiris.sql.check_text import Verdict
    from osiris.sql.nondeterminism.determinism import Finding


Question: TypeAlias = tuple[str, str, frozenset[str] | None, frozenset[str], frozenset[str]]
"""What a verdict depends on: text, dialect, relations (None: any), parameters and the user's functions."""

Verdicts: TypeAlias = "MutableMapping[Question, Verdict]"
"""A cache of SQL verdicts; entries must equal the result of `sql.check`."""

_NAMED_IN_ENTRIES = {"table": "table", "path": "folder"}
"""Config keys that entries name in `to`, and how they are called there."""


@dataclass(frozen=True, slots=True)
class Context:
    """A pipeline with everything that its meaning depends on.

    `root` is the project's folder. `namesakes` are the other project files with a pipeline of this name, relative to
    the root. `verdicts` caches SQL checks. `allowed` are the folders outside the project that steps may use
    (`paths.read` and `paths.write`); None if that is checked elsewhere.
    """

    pipeline: Pipeline
    registry: Registry
    connections: Connections
    root: Path
    namesakes: Sequence[str] = field(default=())
    verdicts: Verdicts = field(default_factory=dict)
    allowed: Mapping[str, JsonValue] | None = None

    def with_specs(self) -> list[tuple[Step, ComponentSpec]]:
        """Return the steps whose component is installed, with its spec."""
        pairs = ((step, self.registry.find(step.component)) for step in self.pipeline.steps)
        return [(step, spec) for step, spec in pairs if spec is not None]

    def at(self, pointer: str) -> Location:
        """Return the location of a pointer in the text, or of its nearest ancestor, with the pointer itself."""
        return replace(self.pipeline.where(pointer), pointer=pointer)

    def statements(self) -> Iterator[tuple[Step, ComponentSpec, str]]:
        """Yield each SQL field of a step, with the step and its component."""
        for step, spec in self.with_specs():
            yield from ((step, spec, name) for name in sql_fields(spec) if name in step.config)

    def fields_of(self, ref: ConnectionRef | None) -> Mapping[str, JsonValue] | None:
        """Return the fields of a connection as written, none without one; None if it is not declared, which a check
        reports.
        """
        try:
            return as_written(self.connections, ref) if ref else {}
        except OsirisError:
            return None

    def with_steps(self, steps: Sequence[Step]) -> Context:
        """Return the same context with other steps."""
        return replace(self, pipeline=replace(self.pipeline, steps=tuple(steps)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked pipeline in which everything is explicit; only the steps' schemas are missing for a manifest.

    Steps are in the order of the manifest. `specs` has each used component by name, `connections` each used
    connection's fields as written by reference (`@family.alias`), `engines` exact versions by distribution. `unsteady`
    has, by step, the sources of nondeterminism in its SQL, located in the file; `verdicts` caches SQL checks.
    """

    pipeline: Pipeline
    specs: Mapping[str, ComponentSpec]
    connections: Mapping[str, Mapping[str, JsonValue]]
    engines: Mapping[str, str]
    unsteady: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=dict, compare=False, repr=False)


def sql_fields(spec: ComponentSpec) -> dict[str, str]:
    """Return the config keys of a component that hold SQL, and the dialect of each."""
    properties = spec.config.get("properties", {})
    return {name: schema["x-sql"] for name, schema in properties.items() if "x-sql" in schema}


def required_connection(step: Step, spec: ComponentSpec) -> ConnectionRef | None:
    """Return the connection that a step names, or its family's default where one is required, as URLs do."""
    if step.connection:
        return step.connection
    family = spec.family if spec.connection == "required" else family_of(step.config.get("path"))
    return ConnectionRef(family) if family in (spec.family, *spec.families) else None


def place_of(step: Step, key: str) -> str:
    """Return the pointer of a config key of a step, or of its entry or the table's part of it."""
    if not step.entry:
        return f"{step.pointer}/config/{key}"
    entry = step.pointer.partition("/tables/")[0]
    if key == "from":
        return f"{entry}/from"
    if key in _NAMED_IN_ENTRIES:
        return f"{entry}/from/tables" if step.mode == "read" else f"{entry}/to/{_NAMED_IN_ENTRIES[key]}"
    return f"{step.pointer}/{key}" if "/tables/" in step.pointer else f"{step.pointer}/defaults/{key}"


def with_config(step: Step, changes: Mapping[str, JsonValue]) -> Step:
    """Return the step with some config values replaced."""
    return replace(step, config={**step.config, **changes})


def topological(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the keys in topological order, ties in ascending order.

    Keys on a cycle, or after one, are left out.
    """
    sorter = TopologicalSorter(needs)
    with suppress(CycleError):  # what is on no circle can be sorted all the same
        sorter.prepare()
    ready, order = list[str](), list[str]()
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, name)
        if not ready:
            break
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
    return order
