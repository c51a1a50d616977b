"""`osiris validate`, `fmt` and `schema`: the text of pipelines."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import PARAM, PROFILE, again, answers, console, opened
from osiris.cli.render import Answer, count
from osiris.errors import fail


@answers("validate", click.argument("files", metavar="[FILE...]", nargs=-1), PARAM, PROFILE)
def validate(files: tuple[str, ...], params: dict[str, str], profile: str | None) -> Answer:
    """Check pipelines, all of pipelines/ if none is named, without reading any source or secret."""
    workspace = opened(profile)
    results = api.validate_files(workspace, files, params=params)
    good = [r for r in results if r.ok]
    text = [f"{r.file}: ok, {count(len(r.steps), 'step')}" for r in good]
    diagnostics = [*workspace.config.diagnostics, *(d for r in results for d in r.diagnostics)]
    one = len(results) == len(good) == 1
    follow_up = [again(["osiris", "compile", good[0].file], ("params", "profile"))] if one else []
    return Answer(api.validated_data(results), text, diagnostics, follow_up)


if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "-"
CHECK = click.option("--check", is_flag=True, help="Write nothing; end with 1 if a file is not in canonical form.")
DIFF = click.option("--diff", "show_diff", is_flag=True, help="Write nothing; show what would change.")


@answers("fmt", click.argument("files", metavar="[FILE...|-]", nargs=-1), CHECK, DIFF)
def fmt(files: tuple[str, ...], check: bool, show_diff: bool) -> Answer:
    """Bring pipelines into their canonical form, all of pipelines/ if none is named; - is stdin to stdout.

    Keys are put in order and layout is made one; comments stay with what they stand at, and the meaning is the same.
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
        raise click.UsageError("'-' stands alone")
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


OUT = click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write it to FILE.")


@answers("schema", OUT)
def schema(out: Path | None) -> Answer:
    """Print the JSON Schema of pipelines, with the options of each installed component, for editors."""
    if out is not None:
        api.save_pipeline_schema(out)
        return Answer({"file": str(out)}, [f"schema in {out}"])
    schema = api.pipeline_schema()
    return Answer(schema, api.schema_text(schema).splitlines())
