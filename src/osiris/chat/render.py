"""Render a request as the text of a pipeline: the same bytes each time, in the form of `osiris fmt`.

Every source, step and output becomes one step of the pipeline. Column types come from the choices and, after a step,
from the engine, which binds the step's SELECT against inputs with columns and no rows.
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
from osiris.chat.statement import Bindings, statement
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
"""Most characters of a pipeline's description."""

SAVE = "save"
_NAME = re.compile("[a-z][a-z0-9_]{0,59}")
_PLACEHOLDER = re.compile(r"\$\{params\.(\w+)\}")
_SQL_TYPES = {"string": "utf8", "integer": "int64", "number": "float64", "boolean": "bool", "date": "date"}
_UNWRITABLE = re.compile(r"[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Characters that a pipeline's text cannot contain."""


class Problem(NamedTuple):
    """An invalid part of a request: its pointer, the problem, and a hint."""

    pointer: str
    problem: str
    hint: str | None = None


def render_request(request: Request, choices: Choices, description: str = "") -> str:
    """Return the OML text; fails with CHT041 for each invalid part of the request.

    The description is left out if it contains a placeholder or a possible secret.
    """
    pipeline = _walk(request, choices)
    _reject(pipeline.problems)
    text = one_line(description, INTENT)
    is_clean = text and "${" not in text and not find_literal_secrets({"description": text})
    params = {
        each.name: {"type": each.type, "default": _typed(each.default, _SQL_TYPES[each.type])}
        for each in request.parameters
    }
    document = {
        "oml_version": "0.2.0" if any(step.checks for step in request.steps) else "0.1.0",
        "name": request.name,
        **({"description": text} if is_clean else {}),
        **({"params": params} if params else {}),
        "steps": pipeline.steps,
    }
    return format_text(json.dumps(document, ensure_ascii=False), f"{request.name}.yaml")


def problems_of(request: Request, choices: Choices) -> list[Problem]:
    """Return the problems of a request; none if it renders."""
    return _walk(request, choices).problems


def fields_of(request: Request, choices: Choices, name: str) -> Schema:
    """Return the columns of a source or step; later steps are ignored."""
    numbers = [number for number, step in enumerate(request.steps) if step.name == name]
    pipeline = _walk(replace(request, steps=request.steps[: numbers[0] + 1] if numbers else (), outputs=()), choices)
    if name not in pipeline.schemas:
        pipeline.problems.append(Problem("/steps", f"has no '{name}'", did_you_mean(name, pipeline.schemas)))
    try:
        _reject([each for each in pipeline.problems if each.pointer.startswith(("/sources", "/steps"))])
        return pipeline.schemas[name]()
    except Misfit as misfit:
        _reject([Problem("/steps", misfit.problem, misfit.hint)])
        raise


def bindings_after(request: Request, choices: Choices) -> Bindings:
    """Return what a step after those of a request can refer to."""
    pipeline = _walk(replace(request, outputs=()), choices)
    return pipeline.bindings([*pipeline.schemas])


def source_name(source: Source, choices: Choices) -> str:
    """Return the name by which steps refer to a source."""
    relation = choices.relation(source.relation)
    return source.name or (relation.name if relation else source.relation)


def path_of(output: Output, request: Request, choices: Choices) -> str | None:
    """Return the path of an output's file; None if it is a table."""
    writer = choices.writer(output.component)
    if output.path is not None or writer is None or writer.ending is None:
        return output.path
    stem = request.name if len(request.outputs) == 1 else f"{request.name}_{output.input}"
    return f"output/{stem}/" if output.partition_by else f"output/{stem}.{writer.ending}"


def _reject(problems: Iterable[Problem]) -> None:
    diagnostics = [
        diagnostic("CHT041", at=Location(pointer=at), problem=f"'{at}' {problem}", hint=hint)
        for at, problem, hint in problems
    ]
    if diagnostics:
        raise_all(diagnostics)


def _walk(request: Request, choices: Choices) -> _Pipeline:
    pipeline = _Pipeline(request, choices)
    pipeline.walk()
    return pipeline


@dataclass(slots=True)
class _Pipeline:
    """A request being rendered to steps, and its problems."""

    request: Request
    choices: Choices
    schemas: dict[str, Callable[[], Schema]] = field(default_factory=dict)
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
    def _register_on_error(self, name: str) -> Iterator[None]:
        """Register a name even if its part is invalid: its readers are not to blame."""
        try:
            yield
        except Misfit:
            if name not in self.schemas:
                self.schemas[name] = _unknown
            raise

    def _source(self, source: Source) -> None:
        relation = self.choices.relation(source.relation)
        if relation is None:
            hint = did_you_mean(source.relation[:200], [each.id for each in self.choices.relations])
            raise Misfit("relation", f"'{source.relation[:200]}' is not among the choices", hint)
        name = source_name(source, self.choices)
        with self._register_on_error(name):
            self._check_step_name(name)
            schema = _source_schema(source, relation)
        self.schemas[name] = lambda: schema
        self.steps.append({**relation.step, "id": name, "needs": [], "config": _source_config(source, relation)})

    def _check_step_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise Misfit("name", f"'{name[:80]}' is no name of a step", "lower-case letters, digits and _, no SQL word")
        if name in self.schemas:
            raise Misfit("name", f"there are two of the name '{name}'", "give one of them another name")

    def _step(self, step: Step) -> None:
        with self._register_on_error(step.name):
            self._make(step)

    def _make(self, step: Step) -> None:
        self._check_step_name(step.name)
        names = step.reads
        for number, name in enumerate(step.inputs):
            _check_known(name, self.schemas, "source or earlier step", f"inputs/{number}")
        if step.sql is not None and not step.inputs:
            raise Misfit("inputs", "is empty", "name what the SQL reads")
        bindings = self.bindings(names)
        text = statement(step, bindings)
        if _UNWRITABLE.search(text):
            raise Misfit("", "has characters that a pipeline cannot hold")
        self.schemas[step.name] = lambda: bindings.bind(text)
        config: Mapped = {"query": f"{text}\n" if "\n" in text else text}
        if step.checks:
            config["checks"] = [_check(check, bindings.bind(text)) for check in step.checks]
        self.steps.append(
            {"id": step.name, "component": "duckdb.processor", "mode": "transform", "needs": names, "config": config}
        )

    def bindings(self, names: Sequence[str]) -> Bindings:
        """Return what a step that reads these inputs can refer to."""
        values = {each.name: literal(each.default, _SQL_TYPES[each.type]) for each in self.request.parameters}

        def bind(text: str) -> Schema:
            filled = _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)
            return bound(filled, tuple((name, self.schemas[name]()) for name in names))

        return Bindings(self.schemas, {each.name: each for each in self.request.parameters}, bind)

    def _output(self, output: Output) -> None:
        _check_known(output.input, self.schemas, "source or step", "input")
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
    """The columns of an invalid part are needed; the part itself is reported."""


def _unknown() -> Schema:
    raise _Unknown("", "reads what cannot be made")


def _check_known(name: str, available: Iterable[str], kind: str, field: str) -> None:
    if name not in available:
        raise Misfit(field, f"there is no {kind} '{name[:200]}'", did_you_mean(name[:200], available))


def _source_schema(source: Source, relation: Relation) -> Schema:
    available = relation.types
    columns = {f"columns/{number}": name for number, name in enumerate(source.columns or ())}
    columns |= {f"dtype/{number}/column": typed.column for number, typed in enumerate(source.dtype)}
    for part, name in columns.items() if available else ():
        _check_known(name, available, "column", part)
    types = {**available, **{typed.column: typed.type for typed in source.dtype}}
    return tuple(Field(name, types[name]) for name in source.columns or available if name in types)


def _source_config(source: Source, relation: Relation) -> Mapped:
    options: Mapped = {
        "columns": list(source.columns or ()),
        "encoding": source.encoding,
        "dtype": {typed.column: typed.type for typed in source.dtype},
        "on_reject": source.on_reject,
    }
    return {**relation.step["config"], **{key: value for key, value in options.items() if value}}


def _check_parameter(parameter: Parameter) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", parameter.name):
        raise Misfit("name", f"'{parameter.name[:80]}' is no name of a parameter", "lower-case letters, digits and _")
    literal(parameter.default, _SQL_TYPES[parameter.type], "default")


def _typed(value: str, type_: str) -> JsonValue:
    """Return a value as JSON: a number or boolean by its type, else text."""
    if type_ == "bool":
        return value.strip().lower() == "true"
    if type_.startswith(("int", "uint", "float", "decimal")):
        sql = literal(value, type_)
        return float(sql) if "." in sql else int(sql)
    return value


def _check(spec: Check, schema: Schema) -> JsonValue:
    if spec.kind == "row_count":
        return {"row_count": _row_counts(spec.bounds)}
    if spec.kind in ("not_null", "unique"):
        return {spec.kind: list(spec.columns)}
    types = {column.name: column.type for column in schema}
    if len(spec.columns) != 1 or spec.columns[0] not in types:
        raise Misfit("checks", f"'{spec.kind}' names one column of the result", ", ".join(types))
    name, typed = spec.columns[0], partial(_typed, type_=types[spec.columns[0]])
    if spec.kind == "accepted_values":
        return {spec.kind: {"column": name, "values": list(map(typed, spec.values))}}
    if spec.kind == "range":
        return {spec.kind: {"column": name, **{key: typed(value) for key, value in spec.bounds.items()}}}
    raise Misfit("checks", f"there is no check '{spec.kind}'", "row_count, not_null, unique, accepted_values, range")


def _row_counts(bounds: dict[str, str]) -> dict[str, int]:
    for value in filter(None, bounds.values()):
        literal(value, "int64", "checks")
    if not all(value.isdecimal() and len(value) <= DIGITS for value in bounds.values()):
        raise Misfit("minimum", "is not a number of rows")
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
        raise Misfit("connection", "must be one of this component", "available: " + ", ".join(writer.connections))
    if not _is_writable(output.table or ""):
        raise Misfit("table", "must be the name of a table")
    if output.mode not in writer.modes:
        raise Misfit("mode", "must be one of this component", "available: " + ", ".join(writer.modes))
    if (output.mode == "upsert") != bool(output.key):
        raise Misfit("key", "has the columns that name a row for upsert, and is empty else")
    key: Mapped = {"primary_key": list(output.key)} if output.key else {}
    return {"connection": output.connection, "table": output.table, "write_mode": output.mode, **key}


def _file_config(output: Output, request: Request, choices: Choices) -> Mapped:
    for name in ("connection", "table"):
        if getattr(output, name) is not None:
            raise Misfit(name, "must be null: this component writes a file")
    if output.mode in ("append", "upsert") or output.key:
        raise Misfit("mode", "must be null: a file is always replaced", "or write to a table")
    path = path_of(output, request, choices) or ""
    if not _is_writable(path) or len(path) > INTENT:
        raise Misfit("path", "must name a file, without ${…} and control characters")
    return {"path": path, **({"partition_by": list(output.partition_by)} if output.partition_by else {})}


def _is_writable(text: str) -> bool:
    """Tell whether a pipeline can contain a text unchanged, and it is not blank."""
    return bool(text.strip()) and not _UNWRITABLE.search(text) and "${" not in text


_MEMORY = 256 << 20


@lru_cache(maxsize=512)
def bound(text: str, inputs: tuple[tuple[str, Schema], ...]) -> Schema:
    """Return the schema of a SELECT over steps with these schemas; raises `Misfit` if it does not bind."""
    from osiris.sql import check
    from osiris.sql.safety.names import relation_names

    schemas = dict(inputs)
    owners = relation_names({name: name for name in schemas})
    by_name = {label: schemas[names[0]] for label, names in owners.items() if len(names) == 1}
    try:
        verdict = check(text, "duckdb", relations=list(by_name))
        if verdict.canonical is None:
            raise_all([item for item in verdict.diagnostics if item.severity == "error"])
        return _bind(verdict.canonical, {name: by_name[name] for name in verdict.relations})
    except OsirisError as error:
        first_error = error.diagnostics[0]
        raise Misfit("", f"cannot be computed: {first_error.message}", first_error.hint) from error


def _bind(canonical: str, inputs: Mapping[str, Schema]) -> Schema:
    import pyarrow as pa

    from osiris.sql.binding.bind import bind_error, check_input, schema_of_relation
    from osiris.sql.binding.problems import ENGINE_ERRORS
    from osiris.types import arrow_schema

    cursor = _engine().cursor()
    try:
        for name, schema in inputs.items():
            check_input(name, schema)
            cursor.register(name, pa.RecordBatchReader.from_batches(arrow_schema(schema), []))
        return schema_of_relation(cursor.sql(canonical), canonical, inputs)
    except ENGINE_ERRORS as error:
        raise_all([bind_error(error, canonical, inputs, 0)])
    finally:
        cursor.close()


@cache
def _engine() -> DuckDBPyConnection:
    """Return a shared engine: opening one takes longer than binding a hundred statements."""
    from osiris.sql.binding.engine import open_engine

    return open_engine(None, memory=_MEMORY, threads=1)
