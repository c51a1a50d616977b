"""Packages of runs: made after every run, on demand, and found again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from osiris.api.run_explanations import reading_of
from osiris.errors import OsirisError, diagnostic, fail
from osiris.session import CONVERSATION, open_session, read_summary, session_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.aiop import Options
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.history.reading import Reading
    from osiris.model import JsonValue
    from osiris.project import Project

_RECENT = 20
"""So many of the newest sessions are looked at for ones without a package."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A package as it was made: the session, the document, its bytes, the run card, and what is to be said of it."""

    session: str
    document: Mapping[str, JsonValue]
    content: bytes
    card: str
    diagnostics: tuple[Diagnostic, ...]


def package(
    workspace: Workspace, session: str, overrides: Mapping[str, JsonValue], *, strict: bool = False
) -> Packaged:
    """Make the package of a session anew; one that has none yet, and has ended, gets it.

    `overrides` are settings of `aiop.*`, without that prefix; an annex that they ask for is written. Fails with RUN010
    for an unknown session, and if `strict` with AIO003 where something is left out.
    """
    from osiris.aiop import build_package, options_of, package_path, write_annex

    name = str(open_session(workspace.project, session)["session"])
    options = options_of(workspace.config, overrides)
    facts = _read(workspace, name, options)
    made = build_package(facts, options, workspace.registry.find)
    if strict and made.diagnostics:
        fail("AIO003", problem="; ".join(item.message for item in made.diagnostics))
    running = facts.run.status == "running"
    if not (running or package_path(facts.run.folder).exists()):
        package_sessions(workspace, [name])
    write_annex(facts.run.folder, made)
    notes = [diagnostic("AIO005", session=name)] if running else []
    return Packaged(name, made.document, made.content, made.card, (*made.diagnostics, *notes))


def list_packages(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return the records of all packages, the newest first."""
    from osiris.aiop import load_catalogue

    return load_catalogue(workspace.project)


def package_missing(workspace: Workspace) -> list[Diagnostic]:
    """Package those of the newest sessions that have ended and have no package; returns what is to be said."""
    return package_sessions(workspace, reversed(list(islice(_without(workspace.project), _RECENT))))


def package_sessions(workspace: Workspace, sessions: Iterable[str]) -> list[Diagnostic]:
    """Package sessions as the settings say; whatever goes wrong is a warning (AIO001), and no matter of the run."""
    if not workspace.config.get("aiop.enabled"):
        return []
    return [item for session in sessions for item in _package_quietly(workspace, session)]


def _package_quietly(workspace: Workspace, session: str) -> Iterator[Diagnostic]:
    from osiris.aiop import build_package, options_of, write_package

    try:
        options = options_of(workspace.config, {})
        made = build_package(_read(workspace, session, options), options, workspace.registry.find)
        card, index = (workspace.config.get(f"aiop.{key}") for key in ("run_card", "index.enabled"))
        write_package(workspace.project, made, card=card, catalogue=index)
    except (OSError, OsirisError, LookupError, TypeError, ValueError) as error:
        yield diagnostic("AIO001", session=session, reason=str(error) or type(error).__name__)
    else:
        yield from made.diagnostics


def _without(project: Project) -> Iterator[str]:
    """Give the newest sessions that have ended and have no package; a conversation never has one."""
    from osiris.aiop import package_path

    for folder in session_folders(project)[:_RECENT]:
        summary = None if package_path(folder).exists() else read_summary(folder)
        if summary and summary["status"] != "running" and summary.get("kind") != CONVERSATION:
            yield folder.name


def _read(workspace: Workspace, session: str, options: Options) -> Reading:
    return reading_of(workspace, session, most_told=options.most_told, compare=options.compare)
