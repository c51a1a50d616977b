"""What checks and passes look at: a pipeline and its surroundings."""

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
"""What is known of SQL texts. It only saves time: whoever fills it must be sure that `sql.check` would say the same."""


@dataclass(frozen=True, slots=True)
class Context:
    """A pipeline with everything that decides what it means.

    `root` is the project's folder. `namesakes` are the other files of the project that hold a pipeline of this name,
    relative to the root. `verdicts` remembers what was found of SQL texts. `allowed` are the folders outside of the
    project that steps may use (`paths.read` and `paths.write`); None where that is asked at another time.
    """

    pipeline: Pipeline
    registry: Registry
    connections: Connections
    root: Path
    namesakes: Sequence[str] = field(default=())
    verdicts: Verdicts = field(default_factory=dict)
    allowed: Mapping[str, JsonValue] | None = None

    def known(self) -> list[tuple[Step, ComponentSpec]]:
        """Return the steps whose component is installed, with its spec."""
        found = ((step, self.registry.find(step.component)) for step in self.pipeline.steps)
        return [(step, spec) for step, spec in found if spec is not None]

    def at(self, pointer: str) -> Location:
        """Return the place of a pointer in the text, or of its nearest ancestor, with the pointer itself."""
        return replace(self.pipeline.where(pointer), pointer=pointer)

    def statements(self) -> Iterator[tuple[Step, ComponentSpec, str]]:
        """Yield each SQL field that a step has, with the step and its component."""
        for step, spec in self.known():
            yield from ((step, spec, name) for name in sql_fields(spec) if name in step.config)

    def fields_of(self, ref: ConnectionRef | None) -> Mapping[str, JsonValue] | None:
        """Return the fields of a connection as written, none without one; None if it is not there: a check says so."""
        try:
            return as_written(self.connections, ref) if ref else {}
        except OsirisError:
            return None

    def with_steps(self, steps: Sequence[Step]) -> Context:
        """Return the same surroundings of a pipeline with other steps."""
        return replace(self, pipeline=replace(self.pipeline, steps=tuple(steps)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked pipeline in which everything is explicit; what is missing for a manifest are the steps' schemas.

    Steps are in the order of the manifest. `specs` has each used component by name, `connections` each used
    connection's fields as written by reference (`@family.alias`), `engines` exact versions by distribution. `unsteady`
    has, by step, what in its SQL may give another result in another run, at its place in the file; `verdicts` what was
    found of SQL texts.
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


def wanted_connection(step: Step, spec: ComponentSpec) -> ConnectionRef | None:
    """Return the connection that a step names, or the default of the family where it must have one, as URLs must."""
    if step.connection:
        return step.connection
    family = spec.family if spec.connection == "required" else family_of(step.config.get("path"))
    return ConnectionRef(family) if family in (spec.family, *spec.families) else None


def with_config(step: Step, changes: Mapping[str, JsonValue]) -> Step:
    """Return the same step with other values in its config."""
    return replace(step, config={**step.config, **changes})


def topological(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the keys so that each follows what it needs, the least first where several could be next.

    Keys on a circle, or after one, are left out.
    """
    sorter = TopologicalSorter(needs)
    with suppress(CycleError):  # what is on no circle can be sorted all the same
        sorter.prepare()
    ready, done = list[str](), list[str]()
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, name)
        if not ready:
            break
        done.append(heapq.heappop(ready))
        sorter.done(done[-1])
    return done
