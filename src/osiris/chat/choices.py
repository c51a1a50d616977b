"""What may be chosen: the tables that discovery found, and the writers and connections that are there.

A request can only name what is here, so neither a model nor a text that it read can bring in anything else. Names,
comments and values come from sources: they are data of somebody else, wherever they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its type as steps give it (None if no step can read it), and its profile as discovery tells it."""

    name: str
    type: str | None
    nullable: bool = True
    comment: str | None = None
    profile: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that refer to those of another relation, which is named as its source names it."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a file that can be read.

    `id` is unique among the choices (`@sqlite.shop/orders`, `data/flights.parquet`); `name` is the id of the step that
    reads it and its name in SQL, unique as well; `step` has its component and config. `columns` is None as long as
    nobody has looked; `rows` is an estimate, None if unknown. `samples` are some rows as lists, in the order of the
    columns, where the person allowed that they are shown.
    """

    id: str
    name: str
    source: str
    table: str
    step: Mapping[str, JsonValue]
    columns: tuple[Column, ...] | None = None
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    rows: int | None = None
    comment: str | None = None
    samples: tuple[JsonValue, ...] = ()

    @property
    def connection(self) -> str | None:
        """Reference of the connection that it is read by, None for files."""
        return self.source if self.source.startswith("@") else None


@dataclass(frozen=True, slots=True)
class Writer:
    """A component that writes: to a file (`ending` is that of its files) or to a table of one of its `connections`."""

    component: str
    ending: str | None
    modes: tuple[str, ...]
    connections: tuple[str, ...] = ()

    @property
    def makes_files(self) -> bool:
        """Tell whether its target is a path; else it is a table."""
        return self.ending is not None


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything that may be chosen; `silent` are the sources that did not answer, each with its diagnostic as JSON.

    The rest is what else a model should know: the date (ISO 8601), how this project does things in its own words, the
    components of these relations and writers (as `prompts.component_document` has them), and pipelines that exist.
    """

    relations: tuple[Relation, ...]
    writers: tuple[Writer, ...]
    silent: Mapping[str, JsonValue] = field(default_factory=dict)
    today: str | None = None
    conventions: str | None = None
    components: tuple[JsonValue, ...] = ()
    earlier: tuple[JsonValue, ...] = ()

    def relation(self, name: str) -> Relation | None:
        """Return the relation of that id; None if there is none."""
        return next((each for each in self.relations if each.id == name), None)

    def writer(self, component: str) -> Writer | None:
        """Return the writer of that component; None if there is none."""
        return next((each for each in self.writers if each.component == component), None)
