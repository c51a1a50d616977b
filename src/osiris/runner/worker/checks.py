"""The reserved config key `checks`: each is a SELECT over the output of a step that must return no rows.

They run in the engine over the spooled output, before any step reads it; a writer's over its spooled input.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from osiris.durable import make_folder, write_file
from osiris.errors import Diagnostic, Location, OsirisError, StepFailed, diagnostic, did_you_mean, raise_all
from osiris.model import Field
from osiris.runner.protocol import CHECKED_ROWS
from osiris.runner.worker.preview_rows import json_values
from osiris.secret import find_literal_secrets
from osiris.secret.scrubber import MASK
from osiris.sql.binding.duck_types import quote_name
from osiris.table import stream
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.model import JsonValue, Schema
    from osiris.runner.worker.job_context import JobContext, Ready
    from osiris.table import RowStream

FAILED = "DAT030"
OUTPUT = "output"
"""The relation that a check reads."""

KEPT_ROWS = 5
_KEPT_CHARACTERS = 2_000
_SHOWN_COLUMNS = 8
_SHOWN_NAME = 80


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, its SELECT statement, and the pointers to it and to its argument (`inside`).

    `columns` has the named columns with their pointers. `compared` is the column compared with `values`, which are by
    pointer. `counts` marks a check of the row count.
    """

    name: str
    text: str
    pointer: str
    inside: str
    columns: Mapping[str, str]
    compared: str | None
    values: Mapping[str, JsonValue]
    counts: bool = False


def spooled(job_ctx: JobContext) -> set[str]:
    """Return the steps whose output is inspected before any step reads it: to check it, or to show it."""
    steps = [step for step in job_ctx.job.steps if job_ctx.job.kind == "run" and _written(job_ctx, step)]
    checked = {
        name for step in steps for name in (step["inputs"].values() if step["mode"] == "write" else [step["id"]])
    }
    return checked.union(job_ctx.job.show)


def _written(job_ctx: JobContext, step: Mapping[str, JsonValue]) -> bool:
    """Return whether a step has checks; a component may have its own key of that name."""
    own = job_ctx.registry.get(step["component"]).config["properties"]
    return "checks" in step["config"] and "checks" not in own


def bind_checks(job_ctx: JobContext, ready: Ready, schema: Schema) -> None:
    """Fail with the located problems of the checks: DAT005 for columns, else as a SQL step."""
    problems: list[Diagnostic] = []
    for check in _checks(ready.checks):
        by_schema = _unknown_columns(check, schema) or _non_texts(check, schema)
        problems += by_schema or _problems_of(job_ctx, ready, check, schema)
    if problems:
        raise_all(problems)


def run_checks(job_ctx: JobContext, ready: Ready, rows: Callable[[], RowStream]) -> int:
    """Run all checks of a step, each over `rows()`; returns their number, or fails with DAT030 for those not met.

    Problems of a check itself are raised with its location.
    """
    problems: list[Diagnostic] = []
    sample_lines: list[str] = []
    checks = list(_checks(ready.checks))
    for check in checks:
        job_ctx.stopper.check()
        problems += _run(job_ctx, ready, check, rows(), sample_lines)
    if sample_lines:
        text = "".join(sample_lines).encode("utf-8", "backslashreplace")
        make_folder(ready.context.artifacts, private=True)
        write_file(ready.context.artifacts / CHECKED_ROWS, text, private=True)
    if problems:
        raise StepFailed(problems)
    return len(checks)


def _run(job_ctx: JobContext, ready: Ready, check: Check, rows: RowStream, sample_lines: list[str]) -> list[Diagnostic]:
    """Run a check; the first rows that it finds are added to `sample_lines`, as lines of JSON."""
    began = time.monotonic()
    step, at = ready.data["id"], Location(pointer=check.pointer)
    try:
        query = _Query(job_ctx, ready, check, rows.schema)
        count, first = query.offending(rows)
    except OsirisError as error:
        return _relocated(check, error)
    event = "check_failed" if count else "check_passed"
    duration = round((time.monotonic() - began) * 1000, 3)
    job_ctx.outbox.send(event, step=step, check=check.name, found=count, duration_ms=duration)
    if not count:
        return []
    sample_lines += [(json.dumps({"check": check.name, "row": row}, ensure_ascii=False) + "\n") for row in first]
    number = first[0]["rows"] if check.counts else count
    what = f"{number:,} row{'' if number == 1 else 's'}"
    columns = "" if check.counts else f" (columns {_named(query.columns)})"
    return [diagnostic(FAILED, at=at, step=step, check=check.name, found=f"{what}{columns}")]


def _named(columns: list[str]) -> str:
    more = len(columns) - _SHOWN_COLUMNS
    return ", ".join(columns[:_SHOWN_COLUMNS]) + (f" and {more} more" if more > 0 else "")


class _Query:
    """A check as a query of duckdb.processor, which also validates it."""

    def __init__(self, job_ctx: JobContext, ready: Ready, check: Check, schema: Schema) -> None:
        make_config, make_driver = job_ctx.registry.load_driver("duckdb.processor")
        self._named = check.columns
        self._clean = job_ctx.outbox.scrubber.json
        self._driver: Any = make_driver()
        self._config = make_config(query=check.text)
        # Its events would be those of the step, such as how it was cut.
        self._context = replace(ready.context, sources={OUTPUT: OUTPUT}, emit=lambda _event, _fields: None)
        self._schema = self._driver.describe(self._config, {OUTPUT: schema}, self._context).schema

    @property
    def columns(self) -> list[str]:
        """The columns that the check returns, first those that it names."""
        names = [column.name for column in self._schema]
        return list(dict.fromkeys((*(name for name in self._named if name in names), *names)))

    def offending(self, rows: RowStream) -> tuple[int, list[dict[str, JsonValue]]]:
        """Return how many rows the check returns, and the first of them."""
        count = 0
        first: list[dict[str, JsonValue]] = []
        for batch in self._driver.transform(self._config, {OUTPUT: rows}, self._schema, self._context).batches():
            part = batch.slice(0, KEPT_ROWS - len(first))
            lines = zip(*map(json_values, part.columns), strict=True)
            first += [self._redacted_row(dict(zip(part.schema.names, line, strict=True))) for line in lines]
            count += batch.num_rows
        return count, first

    def _redacted_row(self, row: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Return a row with the columns that the check names first, secrets masked and long texts cut.

        Secrets are masked before texts are cut, as part of a secret could not be detected.
        """
        first = {name: row[name] for name in self._named if name in row}
        shown = {name: MASK if find_literal_secrets({name: value}) else value for name, value in (first | row).items()}
        clean = self._clean(shown)
        return {name: _cut(v, _KEPT_CHARACTERS) if isinstance(v, str) else v for name, v in clean.items()}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _unknown_columns(check: Check, schema: Schema) -> list[Diagnostic]:
    columns = [column.name for column in schema]
    where = f"the data of check '{check.name}'"
    return [
        diagnostic("DAT005", at=Location(pointer=at), column=name, where=where, hint=did_you_mean(name, columns))
        for name, at in check.columns.items()
        if name not in columns
    ]


def _non_texts(check: Check, schema: Schema) -> list[Diagnostic]:
    """Return problems for non-text values compared with a text column: the engine would convert texts to numbers."""
    if (check.compared, "utf8") not in [(column.name, column.type) for column in schema]:
        return []
    expected, above = f"text, as column '{check.compared}' is", f"{check.inside}/"
    return [
        diagnostic(
            "OML006", at=Location(pointer=at), key=at.removeprefix(above), expected=expected, found=json.dumps(value)
        )
        for at, value in check.values.items()
        if not isinstance(value, str)
    ]


def _problems_of(job_ctx: JobContext, ready: Ready, check: Check, schema: Schema) -> list[Diagnostic]:
    """Return why a check cannot be computed over rows of a schema.

    A value's type is checked only on comparison, so the check also runs over a single NULL.
    """
    try:
        _Query(job_ctx, ready, check, schema)
        for alone in [(Field(column.name, column.type),) for column in schema if column.name == check.compared]:
            _Query(job_ctx, ready, check, alone).offending(_one_null(alone))
    except OsirisError as error:
        return _relocated(check, error)
    return []


def _one_null(schema: Schema) -> RowStream:
    import pyarrow as pa

    target = arrow_schema(schema)
    return stream(schema, [pa.RecordBatch.from_arrays([pa.nulls(1, target.types[0])], schema=target)], "fixed")


def _relocated(check: Check, error: OsirisError) -> list[Diagnostic]:
    return [replace(item, location=Location(pointer=check.inside)) for item in error.diagnostics]


def _checks(written: JsonValue) -> Iterator[Check]:
    for number, item in enumerate(written):
        (kind,) = item.keys() - {"name"}
        rule, pointer = item[kind], f"/config/checks/{number}"
        text = rule if isinstance(rule, str) else json.dumps(rule, ensure_ascii=False)
        name = item.get("name") or _cut(f"{kind}: {' '.join(text.split())}", _SHOWN_NAME)
        inside = f"{pointer}/{kind}"
        yield Check(name, _STATEMENTS[kind](rule), pointer, inside, *_mentioned(rule, inside), kind == "row_count")


def _mentioned(rule: JsonValue, at: str) -> tuple[dict[str, str], str | None, dict[str, JsonValue]]:
    """Return the fields `columns`, `compared` and `values` of `Check`."""
    if isinstance(rule, list):
        return {column: f"{at}/{number}" for number, column in enumerate(rule)}, None, {}
    column = rule.get("column") if isinstance(rule, dict) else None
    if column is None:
        return {}, None, {}
    values = {f"{at}/values/{number}": value for number, value in enumerate(rule.get("values", ()))}
    values |= {f"{at}/{key}": rule[key] for key in ("min", "max") if key in rule}
    return {column: f"{at}/column"}, column, values


def _row_count(bounds: Mapping[str, int]) -> str:
    return f'SELECT count(*) AS "rows" FROM output HAVING {_outside("count(*)", bounds)}'


def _not_null(names: list[str]) -> str:
    return f"SELECT * FROM output WHERE {' OR '.join(f'{quote_name(name)} IS NULL' for name in names)}"


def _unique(names: list[str]) -> str:
    key = ", ".join(map(quote_name, names))
    return f'SELECT {key}, count(*) AS "count(*)" FROM output GROUP BY {key} HAVING count(*) > 1 ORDER BY ALL'


def _accepted_values(rule: Mapping[str, JsonValue]) -> str:
    values = ", ".join(map(_literal, rule["values"]))
    return f"SELECT * FROM output WHERE {quote_name(rule['column'])} NOT IN ({values})"


def _range(bounds: Mapping[str, JsonValue]) -> str:
    column = quote_name(bounds["column"])
    outside = _outside(column, bounds)
    if "max" not in bounds and not isinstance(bounds["min"], str):  # the engine orders NaN above all numbers
        outside += f" OR CAST({column} AS VARCHAR) = 'nan'"
    return f"SELECT * FROM output WHERE {outside}"


def _outside(value: str, bounds: Mapping[str, JsonValue]) -> str:
    signs = {"min": "<", "max": ">"}
    return " OR ".join(f"{value} {sign} {_literal(bounds[key])}" for key, sign in signs.items() if key in bounds)


def _literal(value: JsonValue) -> str:
    """Return a YAML value as a SQL literal; text compared with a date or time is converted by the engine."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).upper() if isinstance(value, bool) else repr(value)


_STATEMENTS: dict[str, Callable[[Any], str]] = {
    "row_count": _row_count,
    "not_null": _not_null,
    "unique": _unique,
    "accepted_values": _accepted_values,
    "range": _range,
    "sql": str,
}
"""Functions that build the statement, by kind of check."""
