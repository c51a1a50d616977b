"""`osiris logs aiop`: the package of a run, for a model or a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.cli import legacy
from osiris.cli.command import answers, console, opened
from osiris.cli.figures import figures
from osiris.cli.render import Answer
from osiris.durable import write_file
from osiris.errors import raise_all
from osiris.files import refuse_foreign
from osiris.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.api import Packaged, Workspace
    from osiris.model import JsonValue

_NAMES = {"compress": "annex.compress"}


def _bytes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    size = None if value is None else parse_size(int(value) if value.isdecimal() else value)
    if value is not None and size is None:
        raise click.BadParameter(f"'{value}' is not a size like 8000 or 300kB")
    return size


OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("session", required=False),
    click.option("--last", is_flag=True, help="The newest session, as without a name."),
    click.option("--list", "wants_list", is_flag=True, help="List the packages that there are."),
    click.option(
        "--format", "form", type=click.Choice(["json", "md"]), default="json", help="The package, or its card."
    ),
    click.option("--policy", type=click.Choice(["core", "annex"]), help="annex: also write every event beside it."),
    click.option("--max-core-bytes", metavar="N", callback=_bytes, help="The most that it may have."),
    click.option("--timeline-density", type=click.Choice(["low", "medium", "high"]), help="How many events it holds."),
    click.option("--metrics-topk", type=click.IntRange(min=0), help="How many metrics it holds."),
    click.option("--schema-mode", type=click.Choice(["summary", "detailed"]), help="detailed: with columns of steps."),
    click.option("--compress", type=click.Choice(["none", "gzip"]), help="Compress the annex."),
    click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there."),
    click.option("--strict", is_flag=True, help="Fail if anything is left out."),
)


@answers("aiop", *OPTIONS)
def command(session: str | None, last: bool, wants_list: bool, **options: Any) -> Answer:  # noqa: ANN401 - one per option
    """Print the package of a run, the newest if none is named: what happened, why, what changed, what to do.

    It is made from the session, as it was after the run; the settings aiop.* of osiris.yaml shape it.
    """
    if session and (refusal := legacy.command_refusal(["logs", "aiop", session])):
        raise_all([refusal])
    if session and last:
        raise click.UsageError("name a session or --last, not both")
    workspace = opened()
    if wants_list:
        return _list(workspace)
    form, output, strict = (options.pop(name) for name in ("form", "output", "strict"))
    overrides = {_NAMES.get(name, name): value for name, value in options.items() if value is not None}
    made = api.package(workspace, session or "last", overrides, strict=strict)
    if output is not None:
        return _written(made, form, output)
    console().write(made.card if form == "md" else made.content.decode())
    return Answer({"session": made.session, **_data(made, form)}, [], made.diagnostics)


def _data(made: Packaged, form: str) -> dict[str, JsonValue]:
    return {"run_card": made.card} if form == "md" else {"package": json.loads(made.content)}


def _is_card(begins: bytes) -> bool:
    return begins.startswith(b"# ") and b"\nSession `" in begins


def _is_package(begins: bytes) -> bool:
    return begins.startswith(b'{\n"@context":"urn:osiris:aiop:')


def _written(made: Packaged, form: str, output: Path) -> Answer:
    content = made.card.encode() if form == "md" else made.content
    refuse_foreign(output, _is_card if form == "md" else _is_package)
    write_file(output.absolute(), content, private=False)
    data = {"session": made.session, "output": str(output), "bytes": len(content)}
    return Answer(data, [f"{output}  {len(content):,} bytes"], made.diagnostics)


def _list(workspace: Workspace) -> Answer:
    records = api.list_packages(workspace)
    header = ("session", "status", "kind", "step", "code", "bytes")
    rows = [tuple(record[key] for key in header) for record in records]
    return Answer({"packages": records}, figures(rows, header) if rows else ["no packages yet"])
