"""`osiris sql check`: the verdict on SQL that steps would get."""

from __future__ import annotations

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

command = noun("sql", "Check SQL as steps do.")

DIALECT = click.option("--dialect", metavar="NAME", help="duckdb; with --jsonl the default of lines that name none.")
LINES = click.option("--jsonl", is_flag=True, help="One {dialect, sql} per line in, one verdict per line out.")


@answers("check", click.argument("file", metavar="[FILE|-]", default="-"), DIALECT, LINES)
def check(file: str, dialect: str | None, jsonl: bool) -> Answer:
    """Say whether one statement may run, and print the text that would; a refused one ends with 1."""
    if jsonl:
        return _check_lines(file, dialect)
    if dialect is None:
        raise click.UsageError("missing option '--dialect'")
    verdict = api.check_sql(_read(file).decode("utf-8", "replace"), dialect)
    diagnostics = [Diagnostic.from_json(item) for item in verdict.pop("diagnostics")]
    text = verdict["canonical"].splitlines() if verdict["ok"] else []
    return Answer(verdict, text, diagnostics, exit_code=_exit_code(verdict))


def _exit_code(verdict: dict[str, JsonValue]) -> int:
    return 0 if verdict["ok"] else NOT_A_VERDICT.get(verdict["code"], 1)


def _check_lines(file: str, dialect: str | None) -> Answer:
    verdicts = api.check_sql_lines(_read(file).splitlines(), dialect)
    if console().wants_json:
        return Answer(list(verdicts))
    return Answer(text=[api.one_line(verdict) for verdict in verdicts])


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail("OML026", path=file, reason=error.strerror or type(error).__name__)


command.add_command(check)
