"""`osiris export`: files with which a scheduler runs a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osiris.cli.command import FILE, PARAM, PATH, PROFILE, answers, console, noun, opened, valued
from osiris.cli.render import Answer
from osiris.durable import make_folder, write_file
from osiris.errors import Location, diagnostic
from osiris.export import FORMATS, written
from osiris.files import refuse_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import click

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    FILE,
    PARAM,
    PROFILE,
    valued("--cron", "EXPR", "When to run it, as a cron expression (default: the schedule of FILE)."),
    valued("--zone", "ZONE", "The time zone of the schedule, as in Europe/Prague (default: that of FILE, else UTC)."),
    valued("--folder", "DIR", "The project's folder where the scheduler runs it."),
    valued("--osiris command", "PATH", "The command osiris where the scheduler runs it."),
    valued("-o --output", "PATH", "Write to this file or folder instead of standard output.", type=PATH),
)
_OWN: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "github": (
        valued("--package", "PACKAGE", "What pip installs: a wheel in the repository, or NAME==VERSION of an index."),
    ),
    "kubernetes": (
        valued("--image", "IMAGE", "The container image with Osiris, as in REGISTRY/osiris:TAG.", required=True),
    ),
}
"""Options of one format."""

_ABOUT = """{summary}

    It runs FILE as 'osiris run' does, with a run id from the scheduler's own run. The export only reads the project: it
    runs nothing, resolves no variable and connects to nothing.
    """


def _exporting(scheduler: str, summary: str) -> click.Command:
    """Return the command of a format."""

    def command(**options: Any) -> Answer:  # noqa: ANN401 - one per option
        return _export(scheduler, **options)

    command.__doc__ = _ABOUT.format(summary=summary)
    return answers(scheduler, *_OPTIONS, *_OWN.get(scheduler, ()))(command)


def _export(scheduler: str, file: str, profile: str | None, output: Path | None, **options: Any) -> Answer:  # noqa: ANN401
    from osiris.export.exported import Choices, export_of

    workspace = opened(profile)
    exported = export_of(workspace, scheduler, file, Choices(**options))
    files = written(exported)
    data = {"format": scheduler, "files": files, "variables": list(exported.variables)}
    unscheduled = diagnostic("EXP006", at=Location(exported.file), file=exported.file, format=scheduler)
    notes = [] if exported.schedule else [unscheduled]
    if output is not None:
        targets = _write(files, output, exported.head.encode())
        return Answer({**data, "written": targets}, targets, notes)
    for name, text in files.items():
        console().write(f"# {name}\n{text}" if len(files) > 1 else text)
    return Answer(data, diagnostics=notes)


def _write(files: Mapping[str, str], output: Path, head: bytes) -> list[str]:
    """Write the files to a folder, or a single one to a file; returns their paths.

    Fails with PRJ014 for a file that does not begin with `head`, as that of another pipeline, and with PRJ006.
    """
    is_folder = len(files) > 1 or output.is_dir()
    targets = {output / name if is_folder else output: text for name, text in files.items()}
    for target in targets:
        refuse_foreign(target, lambda begins: begins == head[: len(begins)] or begins.startswith(head))
    for target, text in targets.items():
        make_folder(target.absolute().parent, private=False)
        write_file(target.absolute(), text.encode(), private=False)
    return [str(target) for target in targets]


export = noun(
    "export",
    "Export a pipeline to a scheduler.",
    *(_exporting(name, each.summary) for name, each in FORMATS.items()),
    form="FORMAT FILE",
)
