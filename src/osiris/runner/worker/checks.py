"""The reserved config key `checks`: each is a SELECT over the output of a step that must return no rows.

They run over the spooled output, in the engine, before anybody reads it; those of a writer over its spooled input.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from osiris.durable import write_file
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
    from osiris.runner.worker.job_context import Place, Ready
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
    """One check: its name, its statement, and where it and what it says stand in the config.

    `columns` has the columns that it names, and where. `compared` is the one whose values are compared with `values`,
    which has them by their place.
    """

    name: str
    text: str
    pointer: str
    inside: str
    columns: Mapping[str, str]
    compared: str | None
    values: Mapping[str, JsonValue]
    counts: bool = False


def spooled(place: Place) -> set[str]:
    """Return the steps whose output is looked at before anybody reads it: because of a check, or to be shown."""
    steps = [step for step in place.job.steps if place.job.kind == "run" and _written(place, step)]
    checked = {
        name for step in steps for name in (step["inputs"].values() if step["mode"] == "write" else [step["id"]])
    }
    return checked.union(place.job.show)


def _written(place: Place, step: Mapping[str, JsonValue]) -> bool:
    """Tell whether a step has checks; a component may have a key of its own of that name."""
    own = place.registry.get(step["component"]).config["properties"]
    return "checks" in step["config"] and "checks" not in own


def bind_checks(place: Place, ready: Ready, schema: Schema) -> None:
    """Fail, at the places of the checks, with what is wrong with them: DAT005 for columns, else as a SQL step does."""
    problems: list[Diagnostic] = []
    for check in _checks(ready.checks):
        problems += _unknown_columns(check, schema) or _no_texts(check, schema) or _misfits(place, ready, check, schema)
    if problems:
        raise_all(problems)


def run_checks(place: Place, ready: Ready, rows: Callable[[], RowStream]) -> int:
    """Run all checks of a step, each over `rows()`; returns how many there are, or fails with DAT030 for those broken.

    What goes wrong in a check itself is raised at its place.
    """
    problems: list[Diagnostic] = []
    kept: list[str] = []
    checks = list(_checks(ready.checks))
    for check in checks:
        place.stopper.check()
        problems += _run(place, ready, check, rows(), kept)
    if kept:
        text = "".join(kept).encode("utf-8", "backslashreplace")
        write_file(ready.context.artifacts / CHECKED_ROWS, text, private=True)
    if problems:
        raise StepFailed(problems)
    return len(checks)


def _run(place: Place, ready: Ready, check: Check, rows: RowStream, kept: list[str]) -> list[Diagnostic]:
    """Run a check; the first rows that it finds, as lines of JSON, go to `kept`."""
    began = time.monotonic()
    step, at = ready.data["id"], Location(pointer=check.pointer)
    try:
        query = _Query(place, ready, check, rows.schema)
        found, first = query.offending(rows)
    except OsirisError as error:
        return _inside(check, error)
    event = "check_failed" if found else "check_passed"
    duration = round((time.monotonic() - began) * 1000, 3)
    place.outbox.send(event, step=step, check=check.name, found=found, duration_ms=duration)
    if not found:
        return []
    kept += [(json.dumps({"check": check.name, "row": row}, ensure_ascii=False) + "\n") for row in first]
    number = first[0]["rows"] if check.counts else found
    what = f"{number:,} row{'' if number == 1 else 's'}"
    columns = "" if check.counts else f" (columns {_named(query.columns)})"
    return [diagnostic(FAILED, at=at, step=step, check=check.name, found=f"{what}{columns}")]


def _named(columns: list[str]) -> str:
    more = len(columns) - _SHOWN_COLUMNS
    return ", ".join(columns[:_SHOWN_COLUMNS]) + (f" and {more} more" if more > 0 else "")


class _Query:
    """A check as a query of the component that computes SQL steps, which also says what is wrong with it."""

    def __init__(self, place: Place, ready: Ready, check: Check, schema: Schema) -> None:
        make_config, make_driver = place.registry.load_driver("duckdb.processor")
        self._named = check.columns
        self._clean = place.outbox.scrubber.json
        self._driver: Any = make_driver()
        self._config = make_config(query=check.text)
        self._context = replace(ready.context, sources={OUTPUT: OUTPUT})
        self._schema = self._driver.describe(self._config, {OUTPUT: schema}, self._context).schema

    @property
    def columns(self) -> list[str]:
        """The columns of what the check returns, first those that it names."""
        names = [column.name for column in self._schema]
        return list(dict.fromkeys((*(name for name in self._named if name in names), *names)))

    def offending(self, rows: RowStream) -> tuple[int, list[dict[str, JsonValue]]]:
        """Return how many rows the check returns, and the first of them."""
        found = 0
        first: list[dict[str, JsonValue]] = []
        for batch in self._driver.transform(self._config, {OUTPUT: rows}, self._schema, self._context).batches():
            part = batch.slice(0, KEPT_ROWS - len(first))
            lines = zip(*map(json_values, part.columns), strict=True)
            first += [self._told(dict(zip(part.schema.names, line, strict=True))) for line in lines]
            found += batch.num_rows
        return found, first

    def _told(self, row: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Return a row, first the columns that the check names, without secrets and with long texts cut.

        They are taken out before a text is cut: of a part of one nobody could tell later what it is.
        """
        named = {name: row[name] for name in self._named if name in row}
        shown = {name: MASK if find_literal_secrets({name: value}) else value for name, value in (named | row).items()}
        clean = self._clean(shown)
        return {name: _cut(v, _KEPT_CHARACTERS) if isinstance(v, str) else v for name, v in clean.items()}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _unknown_columns(check: Check, schema: Schema) -> list[Diagnostic]:
    known = [column.name for column in schema]
    where = f"what check '{check.name}' looks at"
    return [
        diagnostic("DAT005", at=Location(pointer=at), column=name, where=where, hint=did_you_mean(name, known))
        for name, at in check.columns.items()
        if name not in known
    ]


def _no_texts(check: Check, schema: Schema) -> list[Diagnostic]:
    """Return the values that are compared with texts and are none: the engine would make numbers of the texts."""
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


def _misfits(place: Place, ready: Ready, check: Check, schema: Schema) -> list[Diagnostic]:
    """Return why a check cannot be computed over rows of a schema.

    Whether its values fit the type of their column comes out only when they are compared: so one NULL is.
    """
    try:
        _Query(place, ready, check, schema)
        for alone in [(Field(column.name, column.type),) for column in schema if column.name == check.compared]:
            _Query(place, ready, check, alone).offending(_one_null(alone))
    except OsirisError as error:
        return _inside(check, error)
    return []


def _one_null(schema: Schema) -> RowStream:
    import pyarrow as pa

    target = arrow_schema(schema)
    return stream(schema, [pa.RecordBatch.from_arrays([pa.nulls(1, target.types[0])], schema=target)], "fixed")


def _inside(check: Check, error: OsirisError) -> list[Diagnostic]:
    return [replace(item, location=Location(pointer=check.inside)) for item in error.diagnostics]


def _checks(written: JsonValue) -> Iterator[Check]:
    for number, item in enumerate(written):
        (kind,) = item.keys() - {"name"}
        given, pointer = item[kind], f"/config/checks/{number}"
        told = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        name = item.get("name") or _cut(f"{kind}: {' '.join(told.split())}", _SHOWN_NAME)
        inside = f"{pointer}/{kind}"
        yield Check(name, _STATEMENTS[kind](given), pointer, inside, *_mentioned(given, inside), kind == "row_count")


def _mentioned(given: JsonValue, at: str) -> tuple[dict[str, str], str | None, dict[str, JsonValue]]:
    """Return what a check names and compares, as the last three fields of `Check` tell it."""
    if isinstance(given, list):
        return {column: f"{at}/{number}" for number, column in enumerate(given)}, None, {}
    column = given.get("column") if isinstance(given, dict) else None
    if column is None:
        return {}, None, {}
    values = {f"{at}/values/{number}": value for number, value in enumerate(given.get("values", ()))}
    values |= {f"{at}/{key}": given[key] for key in ("min", "max") if key in given}
    return {column: f"{at}/column"}, column, values


def _row_count(given: Mapping[str, int]) -> str:
    return f'SELECT count(*) AS "rows" FROM output HAVING {_outside("count(*)", given)}'


def _not_null(names: list[str]) -> str:
    return f"SELECT * FROM output WHERE {' OR '.join(f'{quote_name(name)} IS NULL' for name in names)}"


def _unique(names: list[str]) -> str:
    key = ", ".join(map(quote_name, names))
    return f'SELECT {key}, count(*) AS "count(*)" FROM output GROUP BY {key} HAVING count(*) > 1 ORDER BY ALL'


def _accepted_values(given: Mapping[str, JsonValue]) -> str:
    values = ", ".join(map(_literal, given["values"]))
    return f"SELECT * FROM output WHERE {quote_name(given['column'])} NOT IN ({values})"


def _range(given: Mapping[str, JsonValue]) -> str:
    column = quote_name(given["column"])
    outside = _outside(column, given)
    if "max" not in given and not isinstance(given["min"], str):  # to the engine NaN is more than any number
        outside += f" OR CAST({column} AS VARCHAR) = 'nan'"
    return f"SELECT * FROM output WHERE {outside}"


def _outside(value: str, given: Mapping[str, JsonValue]) -> str:
    signs = {"min": "<", "max": ">"}
    return " OR ".join(f"{value} {sign} {_literal(given[key])}" for key, sign in signs.items() if key in given)


def _literal(value: JsonValue) -> str:
    """Return a value of YAML as SQL; a text is also a date or a time where it is compared with one."""
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
"""By the kind of a check: its statement."""
