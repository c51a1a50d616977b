"""The pipelines of a project as `osiris schedule` and `osiris status` see them: name, schedule, or what is wrong."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.api.pipelines import read_pipeline
from osiris.api.workspace import pipelines, shown
from osiris.document import load_text
from osiris.errors import Diagnostic, Location, OsirisError, diagnostic
from osiris.oml.parse import name_in
from osiris.oml.schedule import Schedule, schedule_of, schedule_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from osiris.api.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """A file of pipelines/, relative to the project; `name` is None if it is broken, and `problems` say why.

    `written` is the name in a broken file, that of its earlier runs; None if its line cannot be read. A readable file
    may have a note in `problems`: that its schedule has no effect.
    """

    file: str
    name: str | None = None
    schedule: Schedule | None = None
    problems: tuple[Diagnostic, ...] = ()
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A readable pipeline with a schedule."""

    name: str
    file: str
    schedule: Schedule


def planned(files: Iterable[PipelineFile]) -> list[Planned]:
    """Return the readable pipelines that have a schedule."""
    return [Planned(each.name, each.file, each.schedule) for each in files if each.name and each.schedule]


def read_file(workspace: Workspace, path: Path) -> PipelineFile:
    """Return one file by itself: its name and schedule, or what is wrong with it."""
    file = shown(workspace, path)
    try:
        document, pipeline, _ = read_pipeline(workspace, path)
    except OsirisError as error:
        return PipelineFile(file, problems=error.diagnostics, written=written_name(path, file))
    return PipelineFile(file, pipeline.name, schedule_of(document.data), tuple(schedule_problems(document)))


def written_name(path: Path, file: str) -> str | None:
    """Return the name that is written in a pipeline's file, which may have errors; None if it cannot be read."""
    with suppress(OsirisError):
        return name_in(load_text(path, file))
    return None


def find_pipelines(
    workspace: Workspace, read: Callable[[Workspace, Path], PipelineFile] = read_file
) -> list[PipelineFile]:
    """Return all files of pipelines/, sorted; those whose name another one has too are broken (CMP007).

    `read` returns one file; it may have kept it from before.
    """
    every = [read(workspace, path) for path in pipelines(workspace, strict=False)]
    files = defaultdict(list)
    for each in every:
        files[each.name].append(each.file)
    return [
        each if each.name is None or len(files[each.name]) == 1 else _twin(each, files[each.name]) for each in every
    ]


def _twin(broken: PipelineFile, files: list[str]) -> PipelineFile:
    other = ", ".join(file for file in files if file != broken.file)
    return replace(
        broken, name=None, problems=(diagnostic("CMP007", at=Location(broken.file), name=broken.name, other=other),)
    )
