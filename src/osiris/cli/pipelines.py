"""`osiris validate`, `fmt`, `schema`: the text of pipelines; `sql check`: the verdict on SQL that steps would get."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import PARAM, PATH, PROFILE, again, answers, console, flag, noun, opened, valued
from osiris.cli.render import Answer
from osiris.durable import write_file
from osiris.errors import Diagnostic, fail
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.api import Corrected, Validated, Workspace
    from osiris.model import JsonValue


FIX = flag("--fix", "Apply the corrections that are certain, and report what is left.")
DIFF = flag("--diff show_diff", "Write nothing; show the changes as a diff.")


@answers("validate", click.argument("files", metavar="[FILE...]", nargs=-1), FIX, DIFF, PARAM, PROFILE)
def validate(files: tuple[str, ...], fix: bool, show_diff: bool, params: dict[str, str], profile: str | None) -> Answer:
    """Check pipelines without reading any source.

    The default is all files in pipelines/. No secrets are needed. --diff shows what --fix would change: a misspelt key,
    for example, but never what is read or written. Comments and line ends stay.
    """
    if fix and show_diff:
        raise click.UsageError("--fix and --diff cannot be combined")
    workspace = opened(profile)
    if not (fix or show_diff):
        return _validated(workspace, api.validate_files(workspace, files, params=params))
    return _corrected(workspace, api.correct_files(workspace, files, params=params, write=fix), written=fix)


def _corrected(workspace: Workspace, results: Sequence[Corrected], *, written: bool) -> Answer:
    """Return what is left in corrected files, or show what would be corrected."""
    changed = [each.text.file for each in results if each.text.changed]
    answer = _validated(workspace, [each.after if written else each.before for each in results])
    if not written:
        _show_difference(*(each.text for each in results))
    text = [*(f"{file}: corrected" for file in changed), *answer.text] if written else []
    return replace(answer, data={**answer.data, "corrected": changed}, text=text)


def _validated(workspace: Workspace, results: Sequence[Validated]) -> Answer:
    good = [r for r in results if r.ok]
    text = [f"{r.file}: ok" + (f", {count(len(r.steps), 'step')}" if r.steps else "") for r in good]
    diagnostics = [*workspace.config.diagnostics, *(d for r in results for d in r.diagnostics)]
    one = len(results) == len(good) == 1
    follow_up = [again(["osiris", "compile", good[0].file], ("params", "profile"))] if one else []
    return Answer(api.validated_data(results), text, diagnostics, follow_up)


STDIN = "-"
CHECK = flag("--check", "Write nothing; exit 1 if a file is not formatted.")


@answers("fmt", click.argument("files", metavar="[FILE...|-]", nargs=-1), CHECK, DIFF)
def fmt(files: tuple[str, ...], check: bool, show_diff: bool) -> Answer:
    """Format pipelines.

    The default is all files in pipelines/; - reads standard input and writes standard output. Keys are put in canonical
    order and layout is unified; comments stay where they belong, and the meaning does not change.
    """
    if STDIN in files:
        return _stdin(files, check=check, show_diff=show_diff)
    results = api.format_files(opened(), files, write=not (check or show_diff))
    problems = [problem for each in results for problem in each.diagnostics]
    problems += api.unformatted(results) if check else []
    data = {"files": [{"file": r.file, "ok": not r.diagnostics, "changed": r.changed} for r in results]}
    if show_diff:
        _show_difference(*results)
        return Answer(data, [], problems)
    return Answer(data, _formatted_lines(results, written=not check), problems)


def _formatted_lines(results: Sequence[api.Formatted], *, written: bool) -> list[str]:
    changed = [f"{each.file}: formatted" for each in results if each.changed and written]
    good = sum(not (each.changed or each.diagnostics) for each in results)
    return [*changed, *([f"{count(good, 'file')} in canonical form"] if good else [])]


def _show_difference(*results: api.Formatted) -> None:
    console().write("".join(f"{line}\n" for each in results for line in each.diff()))


def _stdin(files: tuple[str, ...], *, check: bool, show_diff: bool) -> Answer:
    if len(files) > 1:
        raise click.UsageError("'-' cannot be combined with files")
    try:
        before = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        fail("OML026", path="standard input", reason="it is not UTF-8")
    result = api.Formatted("standard input", before, api.format_text(before, "standard input"))
    if show_diff:
        _show_difference(result)
    elif not check:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # OML is, whatever the locale; an escape would be another text
        console().write(result.after)
    data = {"changed": result.changed, "text": result.after}
    return Answer(data, diagnostics=api.unformatted([result]) if check else [])


OUT = valued("--out", "FILE", "Write the schema to FILE.", type=PATH)


@answers("schema", OUT)
def schema(out: Path | None) -> Answer:
    """Print the JSON Schema of pipelines, for editors.

    It includes the config keys of each installed component.
    """
    schema = api.pipeline_schema()
    if out is not None:
        write_file(out, api.schema_text(schema).encode("ascii"), private=False)
        return Answer({"file": str(out)}, [f"schema written to {out}"])
    return Answer(schema, api.schema_text(schema).splitlines())


NOT_A_VERDICT = {"SQL010": 2}
"""Codes of statements that could not be judged, with their exit codes."""
DIALECT = valued(
    "--dialect", "NAME", "SQL dialect: duckdb, mysql or postgres. With --jsonl, the default for lines that name none."
)
CATALOG = valued(
    "--catalog", "FILE", "JSON file of readable relations: {relation: [column, …] | null} or [relation, …]."
)
LINES = flag("--jsonl", "Read one {dialect, sql} per line; print one verdict per line.")


@answers("check", click.argument("file", metavar="[FILE|-]", default="-"), DIALECT, CATALOG, LINES)
def check(file: str, dialect: str | None, catalog: str | None, jsonl: bool) -> Answer:
    """Check whether a statement may run, and print its canonical text.

    The statement is read from FILE or standard input. A rejected statement exits 1.
    """
    relations = _relations(catalog) if catalog is not None else None
    if jsonl:
        return _check_lines(file, dialect, relations)
    if dialect is None:
        raise click.UsageError("missing option '--dialect'")
    verdict = api.check_sql(_read(file).decode("utf-8", "replace"), dialect, relations)
    diagnostics = [Diagnostic.from_json(item) for item in verdict.pop("diagnostics")]
    text = verdict["canonical"].splitlines() if verdict["ok"] else []
    code = 0 if verdict["ok"] else NOT_A_VERDICT.get(verdict["code"], 1)
    return Answer(verdict, text, diagnostics, exit_code=code)


def _relations(file: str) -> dict[str, list[str] | None]:
    """Return the relations of a catalogue in JSON with their columns."""
    try:
        catalog = json.loads(_read(file))
    except ValueError as error:
        raise click.UsageError(f"--catalog: {file} is no JSON: {error}") from error
    relations = dict.fromkeys(catalog) if _is_list_of_names(catalog) else catalog
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


sql = noun("sql", "Check SQL by the rules for SQL in steps.", check)
