"""The frozen values that cross stages. Nothing here does anything; everything here is compared, hashed and printed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from osiris.errors import Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

JsonValue = Any
"""A JSON value: null, bool, int, float, str, list or dict of these."""

Mode = Literal["read", "transform", "write"]
Order = Literal["fixed", "free"]
Delivery = Literal["exactly_once", "atomic_replace", "idempotent_by_key", "at_least_once"]


@dataclass(frozen=True, slots=True)
class ConnectionRef:
    """`@family.alias`; without an alias the family's default is meant."""

    family: str
    alias: str | None = None

    def __str__(self) -> str:
        """Return the reference as it is written in OML."""
        return f"@{self.family}.{self.alias}" if self.alias else f"@{self.family}"


@dataclass(frozen=True, slots=True)
class Field:
    """One column: its name, its type as `types.py` spells it, and whether it may hold NULL."""

    name: str
    type: str
    nullable: bool = True

    def to_json(self) -> dict[str, JsonValue]:
        """Return name, type and nullable."""
        return {"name": self.name, "type": self.type, "nullable": self.nullable}


Schema = tuple[Field, ...]

_APART = re.compile(r"[^,;|\t]+([,;|\t]).*[^,;|\t]", re.DOTALL)


def delimiter_in(column: str) -> str | None:
    """Return what seems to separate the names in the only column of a table; None if it looks like one name."""
    match = _APART.fullmatch(column)
    return match[1] if match else None


def undivided(column: str) -> str | None:
    """Return a hint at the only column of a table if its name looks like a header that was not divided."""
    delimiter = delimiter_in(column)
    if delimiter is None:
        return None
    shown = column if len(column) <= 60 else f"{column[:59]}…"
    return f"its only column is called {shown!r}: add delimiter: {json.dumps(delimiter)} where it is read"


def schema_from_json(data: list[dict[str, JsonValue]]) -> Schema:
    """Return the schema written as a list of `Field.to_json`."""
    return tuple(Field(f["name"], f["type"], f["nullable"]) for f in data)


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """What a component says of itself in its spec.yaml; `digest` is that of `registry.digest_of_spec`.

    `families` are those whose connections it takes beside its own.
    """

    name: str
    version: str
    title: str
    description: str
    family: str
    modes: tuple[Mode, ...]
    config: Mapping[str, JsonValue]
    digest: str
    module: str
    capabilities: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    delivery: Delivery | None = None
    inputs: tuple[int, int | None] = (0, 0)
    output: bool = False
    connection: Literal["required", "optional", "none"] = "none"
    secrets: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    examples: tuple[Mapping[str, JsonValue], ...] = ()
    hints: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of a pipeline. `needs` are the steps it waits for, `inputs` maps input names to the steps they read.

    `positions` of the pipeline are keyed by `pointer`, which is where this step stands in the text.
    """

    id: str
    component: str
    mode: Mode
    config: Mapping[str, JsonValue]
    needs: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    extensions: Mapping[str, JsonValue] = field(default_factory=dict)
    connection: ConnectionRef | None = None
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A validated pipeline; passes take one and give one."""

    name: str
    steps: tuple[Step, ...]
    oml_version: str = "0.1.0"
    description: str | None = None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    extensions: Mapping[str, JsonValue] = field(default_factory=dict)
    file: str | None = None
    positions: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)
    keys: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def where_key(self, pointer: str) -> Location:
        """Return the place of the key at a JSON Pointer in the text; of the value if it has none."""
        return self.keys.get(pointer) or self.where(pointer)

    def where(self, pointer: str) -> Location:
        """Return the place of a JSON Pointer in the text, or of its nearest ancestor."""
        while pointer and pointer not in self.positions:
            pointer = pointer.rpartition("/")[0]
        return self.positions.get(pointer, Location(self.file, pointer=pointer or None))

    def step(self, step_id: str) -> Step:
        """Return the step of that id; KeyError if there is none."""
        return {step.id: step for step in self.steps}[step_id]


@dataclass(frozen=True, slots=True)
class Described:
    """What a step says of its output: its schema and whether the order of its rows is fixed.

    `kept` is a processor's answer: fixed if the order of all of its inputs is. The describe job answers without it.

    Of a source: `rows` is how many it has, exact or estimated, None if that cannot be told cheaply; `state` is a text
    that stays equal as long as the source does, None if there is none; `native` are the columns that DuckDB can read
    from it by itself with the same values, None if it cannot read it. None of the three is part of a plan.
    """

    schema: Schema | None
    order: Order | Literal["kept"] = "free"
    rows: int | None = None
    state: str | None = None
    native: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return all fields, the schema as a list of `Field.to_json`."""
        return {
            "schema": None if self.schema is None else [column.to_json() for column in self.schema],
            "order": self.order,
            "rows": self.rows,
            "state": self.state,
            "native": None if self.native is None else list(self.native),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, JsonValue]) -> Described:
        """Return what `to_json` wrote; other keys are passed over."""
        schema, native = data["schema"], data["native"]
        return cls(
            None if schema is None else schema_from_json(schema),
            data["order"],
            data["rows"],
            data["state"],
            None if native is None else tuple(native),
        )


def resolve_order(order: Order | Literal["kept"], inputs: Iterable[Order]) -> Order:
    """Return what an order is, given those of the step's inputs; without inputs, what is kept is fixed."""
    if order == "kept":
        return "fixed" if all(each == "fixed" for each in inputs) else "free"
    return order


@dataclass(frozen=True, slots=True)
class Manifest:
    """A compiled plan: `data` is the whole document, `fingerprint` its root (64 hex digits)."""

    data: Mapping[str, JsonValue]

    @property
    def fingerprint(self) -> str:
        """Return the root of the fingerprint tree."""
        return str(self.data["fingerprint"])

    @property
    def short(self) -> str:
        """Return the first 12 hex digits, for people."""
        return self.fingerprint[:12]

    @property
    def name(self) -> str:
        """Return the pipeline's name."""
        return str(self.data["pipeline"]["name"])

    @property
    def steps(self) -> list[dict[str, JsonValue]]:
        """Return the steps in the order in which they run."""
        steps: list[dict[str, JsonValue]] = self.data["steps"]
        return steps
