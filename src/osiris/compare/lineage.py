"""How columns flow through a plan: walked upstream to the sources, and downstream to whatever a column reaches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from posixpath import join, normpath
from typing import TYPE_CHECKING, NamedTuple

from osiris.urls import local_path, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.model import JsonValue, Manifest

KINDS = ("copy", "value", "aggregate", "unknown")
"""How a column is made of another, the closest first; `unknown` is said of a step that does not tell."""
UNNAMED_SCHEMAS = ("main", "public")
"""How databases call the schema that is meant where none is named."""


class Column(NamedTuple):
    """A column of the output of a step; a writer's are those of the step it reads."""

    step: str
    name: str

    def __str__(self) -> str:
        return f"{self.step}.{self.name}"


class Arrow(NamedTuple):
    """From a column to one that is made of it, and how."""

    source: Column
    target: Column
    kind: str


@dataclass(frozen=True, slots=True)
class Reached:
    """What some columns reach: further columns by how far they are from a copy, and steps whose rows they decide."""

    columns: Mapping[Column, str]
    rows: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The column flow of one plan. `arrows` are those that end in a column, `deciding` the columns that decide which
    rows a step gives, and `inputs` the steps that it reads; `columns` are by step, in their order.
    """

    columns: Mapping[str, tuple[str, ...]]
    inputs: Mapping[str, tuple[str, ...]]
    arrows: Mapping[Column, tuple[Arrow, ...]] = field(default_factory=dict)
    deciding: Mapping[str, tuple[Column, ...]] = field(default_factory=dict)

    def of(self, step: str) -> list[Column]:
        """Return the columns of a step."""
        return [Column(step, name) for name in self.columns[step]]

    def upstream(self, start: Column) -> list[Arrow]:
        """Return all arrows that lead to a column, the nearest first."""
        found: dict[Arrow, None] = {}
        left = deque([start])
        while left:
            for arrow in self.arrows.get(left.popleft(), ()):
                if arrow not in found:
                    found[arrow] = None
                    left.append(arrow.source)
        return list(found)

    def origins(self, start: Column) -> dict[Column, str]:
        """Return the source columns of a column, and how it is made of each; where paths differ, the farthest."""
        kinds = _spread(
            {start: KINDS[0]}, {arrow.target: self.arrows[arrow.target] for arrow in self.upstream(start)}, up=True
        )
        return {column: kinds[column] for column in sorted(kinds) if not self.inputs[column.step]}

    def row_origins(self, step: str) -> list[Column]:
        """Return the source columns that decide which rows a step gives, directly or through the steps above it."""
        deciding = {column for name in self.above(step) for column in self.deciding.get(name, ())}
        return sorted({origin for column in deciding for origin in self.origins(column)})

    def above(self, step: str) -> list[str]:
        """Return a step and all that it reads, directly or not."""
        return _reachable([step], self.inputs)

    def reached(self, starts: Mapping[Column, str], steps: Iterable[str] = ()) -> Reached:
        """Return what some columns reach, themselves included; of several ways to a column, the farthest counts.

        `starts` are columns with the kind they begin with, `steps` those whose rows are decided to begin with.
        """
        downward: dict[Column, list[Arrow]] = {}
        for arrow in (arrow for arrows in self.arrows.values() for arrow in arrows):
            downward.setdefault(arrow.source, []).append(arrow)
        kinds = _spread(starts, downward, up=False)
        decided = [step for step, columns in self.deciding.items() if not kinds.keys().isdisjoint(columns)]
        readers: dict[str, list[str]] = {}
        for step, sources in self.inputs.items():
            for source in sources:
                readers.setdefault(source, []).append(step)
        return Reached(kinds, frozenset(_reachable([*steps, *decided], readers)))


def read_lineage(manifest: Manifest) -> Lineage:
    """Return the column flow of a plan.

    A step that does not tell its own is taken for one whose columns may be made of every column it reads, and whose
    rows any of them may decide.
    """
    columns: dict[str, tuple[str, ...]] = {}
    inputs = {step["id"]: tuple(sorted(set(step["inputs"].values()))) for step in manifest.steps}
    arrows: dict[Column, tuple[Arrow, ...]] = {}
    deciding: dict[str, tuple[Column, ...]] = {}
    for step in manifest.steps:
        name = step["id"]
        read = [Column(source, column) for source in inputs[name] for column in columns[source]]
        columns[name] = tuple(column for _, column in read) if step["mode"] == "write" else _names(step)
        arrows |= {Column(name, column): _arrows(step, column, read) for column in columns[name]}
        deciding[name] = _deciding(step, read)
    return Lineage(columns, inputs, arrows, deciding)


def label_of(step: Mapping[str, JsonValue], connections: Mapping[str, JsonValue]) -> str:
    """Return what a step reads or writes, as people name it: a path, `@family.alias.table`, or its id.

    `connections` has the fields of each as written. A path is relative to the project, in whatever folder its
    connection has; a variable in it stands for itself. That of a published folder ends with a slash.
    """
    config, connection = step["config"], step["connection"]
    path, table = config.get("path"), config.get("table")
    if isinstance(path, str):
        fields = connections.get(connection, {})
        url = stored_as(path, connection, fields)
        if url:
            return str(url)
        return normpath(join(fields.get("base_dir") or "", local_path(path))) + "/" * path.endswith("/")
    if isinstance(table, str):
        schema = config.get("schema")
        parts = (connection or f"@{step['component']}", None if schema in UNNAMED_SCHEMAS else schema, table)
        return ".".join(str(part) for part in parts if part)
    return f"{connection or step['component']} ({step['id']})"


def source_name(label: str, column: str) -> str:
    """Return how people name a column of a source."""
    return f"{label}{'.' if label.startswith('@') else '#'}{column}"


def _names(step: Mapping[str, JsonValue]) -> tuple[str, ...]:
    return tuple(column["name"] for column in step["schema"] or ())


def _arrows(step: Mapping[str, JsonValue], column: str, read: list[Column]) -> tuple[Arrow, ...]:
    target = Column(step["id"], column)
    if step["mode"] == "write":
        return tuple(Arrow(source, target, "copy") for source in read if source.name == column)
    lineage = step.get("lineage")
    if lineage is None:
        return tuple(Arrow(source, target, "unknown") for source in read)
    return tuple(Arrow(Column(source, name), target, kind) for source, name, kind in lineage["columns"].get(column, ()))


def _deciding(step: Mapping[str, JsonValue], read: list[Column]) -> tuple[Column, ...]:
    lineage = step.get("lineage")
    if lineage is not None:
        return tuple(Column(source, name) for source, name in lineage["rows"])
    return tuple(read) if step["mode"] == "transform" else ()


def _spread(starts: Mapping[Column, str], arrows: Mapping[Column, Iterable[Arrow]], *, up: bool) -> dict[Column, str]:
    """Return all columns that arrows lead to, each with the farthest kind on any way there."""
    kinds = dict(starts)
    left = deque(kinds)
    while left:
        column = left.popleft()
        for arrow in arrows.get(column, ()):
            further = arrow.source if up else arrow.target
            kind = max(kinds[column], arrow.kind, key=KINDS.index)
            if further not in kinds or KINDS.index(kind) > KINDS.index(kinds[further]):
                kinds[further] = kind
                left.append(further)
    return kinds


def _reachable(starts: Iterable[str], following: Mapping[str, Iterable[str]]) -> list[str]:
    found = dict.fromkeys(starts)
    left = deque(found)
    while left:
        for name in following.get(left.popleft(), ()):
            if name not in found:
                found[name] = None
                left.append(name)
    return list(found)
