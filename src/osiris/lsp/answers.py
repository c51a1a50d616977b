"""What the server answers about a place in a pipeline: a description, a definition, completions.

Lines and columns count from 0, in characters.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.connections import declared_at, parse_ref, resolve_ref
from osiris.document.commented import inline
from osiris.errors import OsirisError
from osiris.lock import load_lock
from osiris.lsp.places import open_key, pointer_at, step_text, value_of, word_at
from osiris.oml.editor import editor_schema
from osiris.oml.parse import parse
from osiris.oml.validate import oml_schema
from osiris.sql.safety.names import relation_names
from osiris.types import spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.api.editing import StepColumns
    from osiris.api.workspace import Workspace
    from osiris.document import Document
    from osiris.lock import Pin
    from osiris.model import JsonValue

    ColumnsByStep = Mapping[str, StepColumns]

_STEP = re.compile(r"(?:@|\$\{)?([A-Za-z0-9_-]+)(?:\.df\})?")
_COLUMN_KEYS = (
    *("columns", "column", "cursor", "primary_key", "partition_by"),
    *("cast", "dtype", "parse_dates", "not_null", "unique"),
)
"""Keys of a step whose values are columns, or whose keys are."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor in a text: the project, the text and its name in messages, and what returns the columns of its steps."""

    workspace: Workspace
    file: str
    text: str
    line: int
    column: int
    columns_by_step: Callable[[], ColumnsByStep]

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.split("\n")

    def document(self) -> Document | None:
        """The text with the location of every value; None while it is not valid YAML."""
        try:
            return parse(self.text, self.file)
        except OsirisError:
            return None


@dataclass(frozen=True, slots=True)
class Target:
    """A place to go to: the current file or the file of connections, a line and a column."""

    file: Literal["pipeline", "connections"]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A proposed name: its `text` to insert in place of `typed` and `rest`, around the cursor, and what it is."""

    name: str
    text: str
    typed: str
    rest: str
    detail: str


def describe(place: Place) -> str | None:
    """Return a description of the key or value at a place, as plain text; None if there is none."""
    line, document = place.lines[place.line], place.document()
    if document is None or not line.strip():
        return None
    column = max(place.column, len(line) - len(line.lstrip(" -")))  # the dash of a step is of the step
    parts = pointer_at(document, place.line, column).split("/")[1:]
    if not parts:
        return None
    steps = _steps(document)
    if parts[0] == "steps" and len(parts) > 2 and steps:
        return _described_in_step(place, steps[int(parts[1])], parts[2:], document.value("/" + "/".join(parts)))
    return _described(oml_schema()["properties"].get(parts[0]))


def _described_in_step(
    place: Place, step: Mapping[str, JsonValue], parts: Sequence[str], value: JsonValue
) -> str | None:
    """Describe a value of a step, by the parts of its pointer in the step."""
    component = str(step.get("component"))
    if parts[0] in ("needs", "inputs") and (schema := place.columns_by_step().get(_step_id(str(value)))):
        return _columns(schema)
    if parts[0] in ("id", "component"):
        spec, schema = place.workspace.registry.find(component), place.columns_by_step().get(str(step.get("id")))
        about = f"{spec.title}\n{spec.description}\n\n" if spec else ""
        if schema is None and step.get("mode") == "write":
            return about.strip() or None
        return about + (_columns(schema) if schema else f"columns: not known; osiris compile {place.file} finds them")
    if parts[0] == "config" and len(parts) > 1:
        config = editor_schema(place.workspace.registry)["$defs"].get(component, {"properties": {}})
        return _described(config["properties"].get(parts[1]))
    return _described(oml_schema()["properties"]["steps"]["items"]["properties"].get(parts[0]))


def _described(schema: JsonValue) -> str | None:
    """Return the description in a JSON Schema, with the default if there is one."""
    if not isinstance(schema, dict) or "description" not in schema:
        return None
    default = f"\ndefault: {inline(schema['default'])}" if "default" in schema else ""
    return f"{schema['description']}{default}"


def _columns(schema: StepColumns) -> str:
    """Return columns with their types, one per line, and where they come from."""
    outdated = f"; outdated: {schema.outdated}" if schema.outdated else ""
    width = max((len(column.name) for column in schema.columns), default=0)
    return "\n".join(
        [
            f"columns ({schema.origin}{outdated})",
            *(f"  {column.name:{width}}  {spelled(column)}" for column in schema.columns),
        ]
    )


def find_definition(place: Place) -> Target | None:
    """Return where the step or the connection is declared that is named at a place; None if it names none."""
    document = place.document()
    if document is None:
        return None
    pointer = pointer_at(document, place.line, place.column)
    value = document.value(pointer)
    if not isinstance(value, str):
        return None
    if pointer.endswith("/config/connection"):
        return _connection(place.workspace, value)
    source = _named_step(document, pointer, value, word_at(place.lines[place.line], place.column))
    ids = {str(step.get("id")): index for index, step in enumerate(_steps(document))}
    if source not in ids:
        return None
    at = document.where(f"/steps/{ids[source]}/id")
    return Target("pipeline", (at.line or 1) - 1, (at.column or 1) - 1)


def _steps(document: Document) -> list[Mapping[str, JsonValue]]:
    """Return the steps, empty ones for what is none; no steps if they are not a list."""
    steps = document.data.get("steps")
    return [step if isinstance(step, dict) else {} for step in steps] if isinstance(steps, list) else []


def _named_step(document: Document, pointer: str, value: str, word: str) -> str | None:
    """Return the id of the step that a value of `needs` or `inputs` names, or a word in the SQL of a step."""
    parts = pointer.split("/")[1:]
    if len(parts) < 4 or parts[0] != "steps" or not _steps(document):
        return None
    if parts[2] in ("needs", "inputs"):
        return _step_id(value)
    inputs = _inputs(_steps(document)[int(parts[1])])
    names = relation_names(inputs).get(word.lower(), ())
    return inputs[names[0]] if len(names) == 1 else None


def _inputs(step: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the ids of the steps that a step reads, by the names of its inputs."""
    inputs, needs = step.get("inputs"), step.get("needs")
    if isinstance(inputs, dict):
        return {name: _step_id(str(reference)) for name, reference in inputs.items()}
    return {str(each): str(each) for each in needs} if isinstance(needs, list) else {}


def _step_id(reference: str) -> str:
    """Return the id in a reference to a step: `orders`, `@orders` or `${orders.df}`."""
    match = _STEP.fullmatch(reference)
    return match[1] if match else ""


def _connection(workspace: Workspace, reference: str) -> Target | None:
    try:
        connections = workspace.connections()
        at = declared_at(connections, resolve_ref(connections, parse_ref(reference)))
    except OsirisError:
        return None
    return Target("connections", (at.line or 1) - 1, (at.column or 1) - 1) if at else None


def complete(place: Place) -> list[Completion]:
    """Return the names of the project that fit at a place: components, connections, steps, tables, columns."""
    key, typed, rest = open_key(place.lines, place.line, place.column)
    names = _NAMES.get(key)
    if place.lines[place.line][place.column :].startswith(("'", '"')) and not typed:
        return []  # before the value
    is_quoted = place.lines[place.line][: place.column - len(typed)].endswith(("'", '"'))
    return [
        Completion(name, name if is_quoted else inline(name, flow=True), typed, rest, detail)
        for name, detail in (names(place) if names else ())
    ]


def _component_names(place: Place) -> Iterator[tuple[str, str]]:
    yield from ((spec.name, spec.title) for spec in place.workspace.registry.all())


def _connection_names(place: Place) -> Iterator[tuple[str, str]]:
    """Yield the connections that the step's component takes; all of them before it has one."""
    spec = place.workspace.registry.find(value_of(step_text(place.lines, place.line), "component"))
    families = (spec.family, *spec.families) if spec else None
    with suppress(OsirisError):  # reported by the validation
        for reference in place.workspace.references():
            if families is None or reference.family in families:
                yield str(reference), "connection"


def _step_names(place: Place) -> Iterator[tuple[str, str]]:
    own = value_of(step_text(place.lines, place.line), "id")
    blocks = dict.fromkeys(step_text(place.lines, number) for number in range(len(place.lines)))
    names = {value_of(block, "id"): value_of(block, "component") for block in blocks}
    yield from ((name, component) for name, component in names.items() if name not in ("", own))


def _table_names(place: Place) -> Iterator[tuple[str, str]]:
    """Yield the tables in osiris.lock of the step's connection; of all connections if it names none."""
    connection = value_of(step_text(place.lines, place.line), "connection")
    for pin in _pins(place):
        if "table" in pin.source.config and connection in ("", pin.source.connection):
            yield str(pin.source.config["table"]), f"table of {pin.source.connection}"


def _pins(place: Place) -> list[Pin]:
    try:
        return list(load_lock(place.workspace.project).values())
    except OsirisError:  # reported by other commands
        return []


def _column_names(place: Place) -> Iterator[tuple[str, str]]:
    """Yield the columns of a source, or of the inputs of a step that is none."""
    step = step_text(place.lines, place.line)
    own = value_of(step, "id")
    columns = place.columns_by_step()
    inputs = [name for name in columns if name != own and re.search(rf"(?<![\w-]){name}(?![\w-])", step)]
    for schema in (columns[name] for name in inputs or [own] if name in columns):
        yield from ((column.name, spelled(column)) for column in schema.columns)


_NAMES: dict[str, Callable[[Place], Iterator[tuple[str, str]]]] = {
    "component": _component_names,
    "connection": _connection_names,
    "needs": _step_names,
    "table": _table_names,
    **dict.fromkeys(_COLUMN_KEYS, _column_names),
}
"""What completes the value of a key: names, each with a detail."""
