"""`osiris sql check`: the verdict on SQL that steps would get."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, console, noun
from osiris.cli.render import Answer
from osiris.errors import Diagnostic, fail

if TYPE_CHECKING:
    from osiris.model import JsonValue

NOT_A_VERDICT = {"SQL010": 2}
"""Codes that say that nothing could be judged, and the exit code of each."""


DIALECT = click.option(
    "--dialect", metavar="NAME", help="duckdb, mysql or postgres; with --jsonl the default of lines."
)
CATALOG = click.option(
    "--catalog", metavar="FILE", help="JSON: what may be read, {relation: [column, …] | null} or [relation, …]."
)
LINES = click.option("--jsonl", is_flag=True, help="One {dialect, sql} per line in, one verdict per line out.")


@answers("check", click.argument("file", metavar="[FILE|-]", default="-"), DIALECT, CATALOG, LINES)
def check(file: str, dialect: str | None, catalog: str | None, jsonl: bool) -> Answer:
    """Say whether one statement may run, and print the text that would; a refused one ends with 1."""
    relations = _relations(catalog) if catalog is not None else None
    if jsonl:
        return _check_lines(file, dialect, relations)
    if dialect is None:
        raise click.UsageError("missing option '--dialect'")
    verdict = api.check_sql(_read(file).decode("utf-8", "replace"), dialect, relations)
    diagnostics = [Diagnostic.from_json(item) for item in verdict.pop("diagnostics")]
    text = verdict["canonical"].splitlines() if verdict["ok"] else []
    return Answer(verdict, text, diagnostics, exit_code=_exit_code(verdict))


def _exit_code(verdict: dict[str, JsonValue]) -> int:
    return 0 if verdict["ok"] else NOT_A_VERDICT.get(verdict["code"], 1)


def _relations(file: str) -> dict[str, list[str] | None]:
    """Return the relations of a catalogue in JSON with their columns."""
    try:
        found = json.loads(_read(file))
    except ValueError as error:
        raise click.UsageError(f"--catalog: {file} is no JSON: {error}") from error
    relations = dict.fromkeys(found) if _is_list_of_names(found) else found
    lists = isinstance(relations, dict) and all(each is None or _is_list_of_names(each) for each in relations.values())
    if not lists:
        raise click.UsageError(f"--catalog: {file} has neither a list of names nor lists of columns by name")
    return relations


def _is_list_of_names(value: JsonValue) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _check_lines(file: str, dialect: str | None, relations: dict[str, list[str] | None] | None) -> Answer:
    verdicts = api.check_sql_lines(_read(file).splitlines(), dialect, relations)
    if console().wants_json:
        return Answer(list(verdicts))
    return Answer(text=[api.one_line(verdict) for verdict in verdicts])


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail("OML026", path=file, reason=error.strerror or type(error).__name__)


sql = noun("sql", "Check SQL as steps do.", check)
