"""`osiris init`: lay out a new project."""

from __future__ import annotations

from pathlib import Path

import click

from osiris import api
from osiris.cli.command import answers
from osiris.cli.render import Answer


@answers("init", click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path)))
def command(folder: Path) -> Answer:
    """Lay out a new project in DIR (here, if not given), with a pipeline that works at once."""
    files = api.init_project(folder)
    wired, notes = api.wire_editor(folder)
    files += wired
    go = [] if folder == Path() else [f"cd {folder}"]
    text = [f"new project in {folder}", *(f"  {name}" for name in files)]
    return Answer(
        {"dir": str(folder), "files": files},
        text,
        notes,
        next=[*go, "osiris compile pipelines/example.yaml", "osiris run --last-compile"],
    )
