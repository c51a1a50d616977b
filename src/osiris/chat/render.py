"""From a request to the text of a pipeline: always the same bytes, in the form that `osiris fmt` has.

Every source, step and output becomes one step of the pipeline. The types of columns come from the choices and, behind a
step, from the engine, which binds the step's SELECT against inputs that have columns and no rows.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from osiris.api import format_text
from osiris.chat.choices import RESERVED, Writer, one_line
from osiris.chat.expressions import DIGITS, Misfit, literal, unused
from osiris.chat.statement import Given, statement
from osiris.errors import Location, OsirisError, diagnostic, did_you_mean, raise_all
from osiris.model import Field
from osiris.secret import find_literal_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from osiris.chat.choices import Choices, Relation
    from osiris.chat.request import Check, Output, Parameter, Request, Source, Step
    from osiris.model import JsonValue, Schema

    Mapped = dict[str, JsonValue]
    T = TypeVar("T")

INTENT = 500
"""Characters of the words that a pipeline keeps as its description."""

SAVE = "save"
_NAME = re.compile("[a-z][a-z0-9_]{0,59}")
_PLACEHOLDER = re.compile(r"\$\{params\.(\w+)\}")
_SQL_TYPES = {"string": "utf8", "integer": "int64", "number": "float64", "boolean": "bool", "date": "date"}
_UNWRITABLE = re.compile(r"[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What a pipeline's text cannot hold as it is."""


class Problem(NamedTuple):
    """What of a request cannot be carried out: its pointer, why, and what to do instead."""

    pointer: str
    problem: str
    hint: str | None = None


def render_request(request: Request, choices: Choices, description: str = "") -> str:
    """Return the OML text; fails with CHT041 for each part of the request that cannot be carried out.

    The description is left out if there is something in it that a pipeline must not hold.
    """
    pipeline = _walked(request, choices)
    _refuse(pipeline.problems)
    text = one_line(description, INTENT)
    fits = text and "${" not in text and not find_literal_secrets({"description": text})
    params = {
        each.name: {"type": each.type, "default": _typed(each.default, _SQL_TYPES[each.type])}
        for each in request.parameters
    }
    document = {
        "oml_version": "0.2.0" if any(step.checks for step in request.steps) else "0.1.0",
        "name": request.name,
        **({"description": text} if fits else {}),
        **({"params": params} if params else {}),
        "steps": pipeline.steps,
    }
    return format_text(json.dumps(document, ensure_ascii=False), f"{request.name}.yaml")


def problems_of(request: Request, choices: Choices) -> list[Problem]:
    """Return what of a request cannot be carried out: nothing if it renders."""
    return _walked(request, choices).problems


def fields_of(request: Request, choices: Choices, name: str) -> Schema:
    """Return the columns of a source or of a step; what comes behind it is not looked at."""
    numbers = [number for number, step in enumerate(request.steps) if step.name == name]
    pipeline = _walked(replace(request, steps=request.steps[: numbers[0] + 1] if numbers else (), outputs=()), choices)
    if name not in pipeline.known:
        pipeline.problems.append(Problem("/steps", f"has no '{name}'", did_you_mean(name, pipeline.known)))
    try:
        _refuse([each for each in pipeline.problems if each.pointer.startswith(("/sources", "/steps"))])
        return pipeline.known[name]()
    except Misfit as misfit:
        _refuse([Problem("/steps", misfit.problem, misfit.hint)])
        raise


def given_to_next(request: Request, choices: Choices) -> Given:
    """Return what a step can name that comes after those of a request."""
    pipeline = _walked(replace(request, outputs=()), choices)
    return pipeline.given([*pipeline.known])


def source_name(source: Source, choices: Choices) -> str:
    """Return the name by which steps read a source."""
    relation = choices.relation(source.relation)
    return source.name or (relation.name if relation else source.relation)


def path_of(output: Output, request: Request, choices: Choices) -> str | None:
    """Return where the file of an output goes; None if it is a table."""
    writer = choices.writer(output.component)
    if output.path is not None or writer is None or writer.ending is None:
        return output.path
    stem = request.name if len(request.outputs) == 1 else f"{request.name}_{output.input}"
    return f"output/{stem}/" if output.partition_by else f"output/{stem}.{writer.ending}"


def _refuse(problems: Iterable[Problem]) -> None:
    found = [
        diagnostic("CHT041", at=Location(pointer=at), problem=f"'{at}' {why}", hint=hint) for at, why, hint in problems
    ]
    if found:
        raise_all(found)


def _walked(request: Request, choices: Choices) -> _Pipeline:
    pipeline = _Pipeline(request, choices)
    pipeline.walk()
    return pipeline


@dataclass(slots=True)
class _Pipeline:
    """A request on its way to the steps of a pipeline, and what is wrong with it."""

    request: Request
    choices: Choices
    known: dict[str, Callable[[], Schema]] = field(default_factory=dict)
    steps: list[Mapped] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def walk(self) -> None:
        if not _NAME.fullmatch(self.request.name):
            self._wrong("/name", "is no name", "lower-case letters, digits and _, a letter first, at most 60")
        self._each("/parameters", self.request.parameters, _check_parameter)
        self._each("/sources", self.request.sources, self._source)
        if not self.request.sources:
            self._wrong("/sources", "is empty", "name what is read")
        if self.problems:
            return
        self._each("/steps", self.request.steps, self._step)
        self._each("/outputs", self.request.outputs, self._output)
        if not self.request.outputs:
            self._wrong("/outputs", "is empty", "name where the rows go")

    def _wrong(self, pointer: str, problem: str, hint: str | None = None) -> None:
        self.problems.append(Problem(pointer, problem, hint))

    def _each(self, pointer: str, items: Sequence[T], make: Callable[[T], None]) -> None:
        for number, item in enumerate(items):
            try:
                make(item)
            except _Unknown:
                continue
            except Misfit as misfit:
                for each in misfit.parts:
                    self._wrong(f"{pointer}/{number}/{each.field}".rstrip("/"), each.problem, each.hint)

    @contextmanager
    def _known_anyway(self, name: str) -> Iterator[None]:
        """Know a name even if nothing can be made of what has it: what reads that is not to blame."""
        try:
            yield
        except Misfit:
            if name not in self.known:
                self.known[name] = _unknown
            raise

    def _source(self, source: Source) -> None:
        relation = self.choices.relation(source.relation)
        if relation is None:
            hint = did_you_mean(source.relation[:200], [each.id for each in self.choices.relations])
            raise Misfit("relation", f"'{source.relation[:200]}' is not among the choices", hint)
        name = source_name(source, self.choices)
        with self._known_anyway(name):
            self._check_step_name(name)
            schema = _source_schema(source, relation)
        self.known[name] = lambda: schema
        self.steps.append({**relation.step, "id": name, "needs": [], "config": _source_config(source, relation)})

    def _check_step_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise Misfit("name", f"'{name[:80]}' is no name of a step", "lower-case letters, digits and _, no SQL word")
        if name in self.known:
            raise Misfit("name", f"there are two of the name '{name}'", "give one of them another name")

    def _step(self, step: Step) -> None:
        with self._known_anyway(step.name):
            self._make(step)

    def _make(self, step: Step) -> None:
        self._check_step_name(step.name)
        names = step.reads
        for number, name in enumerate(step.inputs):
            _check_known(name, self.known, "source or earlier step", f"inputs/{number}")
        if step.sql is not None and not step.inputs:
            raise Misfit("inputs", "is empty", "name what the SQL reads")
        given = self.given(names)
        text = statement(step, given)
        if _UNWRITABLE.search(text):
            raise Misfit("", "has characters that a pipeline cannot hold")
        self.known[step.name] = lambda: given.bind(text)
        config: Mapped = {"query": f"{text}\n" if "\n" in text else text}
        if step.checks:
            config["checks"] = [_check(check, given.bind(text)) for check in step.checks]
        self.steps.append(
            {"id": step.name, "component": "duckdb.processor", "mode": "transform", "needs": names, "config": config}
        )

    def given(self, names: Sequence[str]) -> Given:
        """Return what a step can name that reads some of what there is."""
        values = {each.name: literal(each.default, _SQL_TYPES[each.type]) for each in self.request.parameters}

        def bind(text: str) -> Schema:
            plain = _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
            return bound(plain, tuple((name, self.known[name]()) for name in names))

        return Given(self.known, {each.name: each for each in self.request.parameters}, bind)

    def _output(self, output: Output) -> None:
        _check_known(output.input, self.known, "source or step", "input")
        taken = {step["id"] for step in self.steps}
        several = SAVE if len(self.request.outputs) == 1 else f"{SAVE}_{output.input}"
        name = output.name or unused(several, taken)
        if name in taken or not _NAME.fullmatch(name):
            raise Misfit("name", f"'{name[:80]}' is no name that is free")
        config = _output_config(output, self.request, self.choices)
        self.steps.append(
            {"id": name, "component": output.component, "mode": "write", "needs": [output.input], "config": config}
        )


class _Unknown(Misfit):
    """The columns of something that cannot be made are asked for; why it cannot is told where it stands."""


def _unknown() -> Schema:
    raise _Unknown("", "reads what cannot be made")


def _check_known(name: str, known: Iterable[str], what: str, field: str) -> None:
    if name not in known:
        raise Misfit(field, f"there is no {what} '{name[:200]}'", did_you_mean(name[:200], known))


def _source_schema(source: Source, relation: Relation) -> Schema:
    known = relation.types
    named = {f"columns/{number}": name for number, name in enumerate(source.columns or ())}
    named |= {f"dtype/{number}/column": typed.column for number, typed in enumerate(source.dtype)}
    for part, name in named.items() if known else ():
        _check_known(name, known, "column", part)
    types = {**known, **{typed.column: typed.type for typed in source.dtype}}
    return tuple(Field(name, types[name]) for name in source.columns or known if name in types)


def _source_config(source: Source, relation: Relation) -> Mapped:
    given: Mapped = {
        "columns": list(source.columns or ()),
        "encoding": source.encoding,
        "dtype": {typed.column: typed.type for typed in source.dtype},
        "on_reject": source.on_reject,
    }
    return {**relation.step["config"], **{key: value for key, value in given.items() if value}}


def _check_parameter(given: Parameter) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", given.name):
        raise Misfit("name", f"'{given.name[:80]}' is no name of a parameter", "lower-case letters, digits and _")
    literal(given.default, _SQL_TYPES[given.type], "default")


def _typed(value: str, type_: str) -> JsonValue:
    """Return a value as JSON: a number or a truth value by its type, else a text."""
    if type_ == "bool":
        return value.strip().lower() == "true"
    if type_.startswith(("int", "uint", "float", "decimal")):
        written = literal(value, type_)
        return float(written) if "." in written else int(written)
    return value


def _check(given: Check, known: Schema) -> JsonValue:
    if given.kind == "row_count":
        return {"row_count": _row_counts(given.bounds)}
    if given.kind in ("not_null", "unique"):
        return {given.kind: list(given.columns)}
    types = {column.name: column.type for column in known}
    if len(given.columns) != 1 or given.columns[0] not in types:
        raise Misfit("checks", f"'{given.kind}' names one column of the result", ", ".join(types))
    name, typed = given.columns[0], partial(_typed, type_=types[given.columns[0]])
    if given.kind == "accepted_values":
        return {given.kind: {"column": name, "values": list(map(typed, given.values))}}
    if given.kind == "range":
        return {given.kind: {"column": name, **{key: typed(value) for key, value in given.bounds.items()}}}
    raise Misfit("checks", f"there is no check '{given.kind}'", "row_count, not_null, unique, accepted_values, range")


def _row_counts(bounds: dict[str, str]) -> dict[str, int]:
    for value in filter(None, bounds.values()):
        literal(value, "int64", "checks")
    if not all(value.isdecimal() and len(value) <= DIGITS for value in bounds.values()):
        raise Misfit("minimum", "is no number of rows")
    return {key: int(value) for key, value in bounds.items()}


def _output_config(output: Output, request: Request, choices: Choices) -> Mapped:
    writer = choices.writer(output.component)
    if writer is None:
        hint = did_you_mean(output.component, [each.component for each in choices.writers])
        raise Misfit("component", f"'{output.component[:80]}' is not among the choices", hint)
    return _file_config(output, request, choices) if writer.makes_files else _table_config(output, writer)


def _table_config(output: Output, writer: Writer) -> Mapped:
    if output.path is not None or output.partition_by:
        raise Misfit("path", "must be null: this component writes to a table")
    if output.connection not in writer.connections:
        raise Misfit("connection", "must be one of this component", "known: " + ", ".join(writer.connections))
    if not _is_writable(output.table or ""):
        raise Misfit("table", "must be the name of a table")
    if output.mode not in writer.modes:
        raise Misfit("mode", "must be one of this component", "known: " + ", ".join(writer.modes))
    if (output.mode == "upsert") != bool(output.key):
        raise Misfit("key", "has the columns that name a row for upsert, and is empty else")
    key: Mapped = {"primary_key": list(output.key)} if output.key else {}
    return {"connection": output.connection, "table": output.table, "write_mode": output.mode, **key}


def _file_config(output: Output, request: Request, choices: Choices) -> Mapped:
    for name in ("connection", "table"):
        if getattr(output, name) is not None:
            raise Misfit(name, "must be null: this component writes a file")
    if output.mode in ("append", "upsert") or output.key:
        raise Misfit("mode", "must be null: a file is always written anew", "or write to a table")
    path = path_of(output, request, choices) or ""
    if not _is_writable(path) or len(path) > INTENT:
        raise Misfit("path", "is no path")
    return {"path": path, **({"partition_by": list(output.partition_by)} if output.partition_by else {})}


def _is_writable(text: str) -> bool:
    """Tell whether a pipeline can hold a text as it is, and it says something."""
    return bool(text.strip()) and not _UNWRITABLE.search(text) and "${" not in text


_MEMORY = 256 << 20


@lru_cache(maxsize=512)
def bound(text: str, inputs: tuple[tuple[str, Schema], ...]) -> Schema:
    """Return the schema of a SELECT over steps with these schemas; raises `Misfit` if it has none."""
    from osiris.sql import check
    from osiris.sql.safety.names import relation_names

    schemas = dict(inputs)
    owners = relation_names({name: name for name in schemas})
    known = {label: schemas[names[0]] for label, names in owners.items() if len(names) == 1}
    try:
        verdict = check(text, "duckdb", relations=list(known))
        if verdict.canonical is None:
            raise_all([item for item in verdict.diagnostics if item.severity == "error"])
        return _bind(verdict.canonical, {name: known[name] for name in verdict.relations})
    except OsirisError as error:
        found = error.diagnostics[0]
        raise Misfit("", f"cannot be computed: {found.message}", found.hint) from error


def _bind(canonical: str, inputs: Mapping[str, Schema]) -> Schema:
    import pyarrow as pa

    from osiris.sql.binding.bind import check_input, misfit, schema_of_relation
    from osiris.sql.binding.problems import ENGINE_ERRORS
    from osiris.types import arrow_schema

    cursor = _engine().cursor()
    try:
        for name, schema in inputs.items():
            check_input(name, schema)
            cursor.register(name, pa.RecordBatchReader.from_batches(arrow_schema(schema), []))
        return schema_of_relation(cursor.sql(canonical), canonical, inputs)
    except ENGINE_ERRORS as error:
        raise_all([misfit(error, canonical, inputs, 0)])
    finally:
        cursor.close()


@cache
def _engine() -> DuckDBPyConnection:
    """Return an engine that is kept: to open one takes longer than to bind a hundred statements."""
    from osiris.sql.binding.engine import open_engine

    return open_engine(None, memory=_MEMORY, threads=1)
