"""The frozen data types passed between stages; they are compared, hashed and printed."""

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

_STORE_REFERENCE = re.compile(r"(?P<scheme>[a-z][a-z0-9-]*):(?P<path>[^#\s-](?:[^#]*[^#\s])?)(?:#(?P<field>.+))?")


@dataclass(frozen=True, slots=True)
class ConnectionRef:
    """`@family.alias`; without an alias, the family's default connection."""

    family: str
    alias: str | None = None

    def __str__(self) -> str:
        """Return the reference as written in OML."""
        return f"@{self.family}.{self.alias}" if self.alias else f"@{self.family}"


@dataclass(frozen=True, slots=True)
class Field:
    """One column: its name, its type (such as `utf8` or `decimal(38,2)`), and whether it may contain NULL."""

    name: str
    type: str
    nullable: bool = True

    def to_json(self) -> dict[str, JsonValue]:
        """Return name, type and nullable."""
        return {"name": self.name, "type": self.type, "nullable": self.nullable}


Schema = tuple[Field, ...]

_APART = re.compile(r"[^,;|\t]+([,;|\t]).*[^,;|\t]", re.DOTALL)


def delimiter_in(column: str) -> str | None:
    """Return the likely delimiter in the name of a table's only column; None if it looks like one name."""
    match = _APART.fullmatch(column)
    return match[1] if match else None


def undivided(column: str) -> str | None:
    """Return a hint if the name of a table's only column looks like an unsplit header; else None."""
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
    """The content of a component's spec.yaml; `digest` is that of `registry.digest_of_spec`.

    `families` are further families whose connections it accepts.
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
    """One step of a pipeline. `needs` are the steps it waits for, `inputs` maps input names to the steps read.

    `pointer` is the JSON Pointer of the step in the text, a key of `Pipeline.positions`. `entry` is the id of the entry
    of `replicate` that the step was expanded from; such steps share the pointer of their table or entry.
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
    entry: str | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A validated pipeline; compiler passes take and return one.

    `replicate` has what is asked of the source of each entry, as `oml.replicate.Entry.to_json`.
    """

    name: str
    steps: tuple[Step, ...]
    oml_version: str = "0.1.0"
    description: str | None = None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    replicate: tuple[Mapping[str, JsonValue], ...] = ()
    extensions: Mapping[str, JsonValue] = field(default_factory=dict)
    file: str | None = None
    positions: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)
    keys: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def where_key(self, pointer: str) -> Location:
        """Return the location of the key at a JSON Pointer in the text; of the value if there is no key."""
        return self.keys.get(pointer) or self.where(pointer)

    def where(self, pointer: str) -> Location:
        """Return the location of a JSON Pointer in the text, or of its nearest ancestor."""
        while pointer and pointer not in self.positions:
            pointer = pointer.rpartition("/")[0]
        return self.positions.get(pointer, Location(self.file, pointer=pointer or None))

    def step(self, step_id: str) -> Step:
        """Return the step with an id; raises KeyError."""
        return {step.id: step for step in self.steps}[step_id]


@dataclass(frozen=True, slots=True)
class Described:
    """The description of a step's output: its schema and whether the order of its rows is fixed.

    The order `kept` of a processor means fixed if that of all inputs is; the describe job resolves it. For a source,
    `rows` is its exact or estimated row count (None if not cheaply available), `state` a text that changes with the
    source (None if there is none), and `native` the columns that DuckDB can read natively with the same values (None if
    it cannot read the source). These three are not part of a plan.
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
        """Return the description written by `to_json`; other keys are ignored."""
        schema, native = data["schema"], data["native"]
        return cls(
            None if schema is None else schema_from_json(schema),
            data["order"],
            data["rows"],
            data["state"],
            None if native is None else tuple(native),
        )


def resolve_order(order: Order | Literal["kept"], inputs: Iterable[Order]) -> Order:
    """Return the resolved order, given those of the step's inputs; without inputs, `kept` is fixed."""
    if order == "kept":
        return "fixed" if all(each == "fixed" for each in inputs) else "free"
    return order


@dataclass(frozen=True, slots=True)
class Manifest:
    """A compiled plan: `data` is the whole document, `fingerprint` its root (64 hex digits)."""

    data: Mapping[str, JsonValue]

    @property
    def fingerprint(self) -> str:
        """The root of the fingerprint tree."""
        return str(self.data["fingerprint"])

    @property
    def short(self) -> str:
        """The first 12 hex digits of the fingerprint."""
        return self.fingerprint[:12]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.data["pipeline"]["name"])

    @property
    def steps(self) -> list[dict[str, JsonValue]]:
        """The steps in topological order."""
        steps: list[dict[str, JsonValue]] = self.data["steps"]
        return steps


@dataclass(frozen=True, slots=True)
class StoreReference:
    """A reference to a field of a secret in a store; `text` is as written, without `${` and `}`."""

    text: str
    scheme: str
    path: str
    field: str | None = None


def parse_store_reference(text: str) -> StoreReference | None:
    """Return the reference to a store in the text between `${` and `}`; None if it has another form.

    A reference has no default: `${vault:-x}` is the environment variable `vault` with a default.
    """
    match = _STORE_REFERENCE.fullmatch(text)
    if match is None or ":-" in text or not text.isprintable():
        return None
    return StoreReference(text, match["scheme"], match["path"], match["field"])


def whole_reference(text: str) -> str | StoreReference | None:
    """Return the variable's name, or the reference to a store, of a text like `${NAME}`; None for any other text."""
    match = re.fullmatch(r"\$\{([^{}]*)\}", text)
    if match and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", match[1]):
        return match[1]
    return parse_store_reference(match[1]) if match else None
