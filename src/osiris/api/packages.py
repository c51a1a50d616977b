"""Packages of runs: made after every run, on demand, and found again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from osiris.connections import as_written
from osiris.errors import OsirisError, diagnostic, fail
from osiris.model import ConnectionRef
from osiris.recorded import base_of, load_outline, load_run
from osiris.secret import Scrubber, Secret
from osiris.session import CONVERSATION, open_session, read_summary, session_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.aiop import Facts, Options
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.recorded import RecordedRun

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
    facts = _facts(workspace, name, options)
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
        made = build_package(_facts(workspace, session, options), options, workspace.registry.find)
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


def _facts(workspace: Workspace, session: str, options: Options) -> Facts:
    from osiris.aiop import Facts

    logs = workspace.project.logs
    run = load_run(logs / session, options.most_told)
    pinned = run.summary.get("base") or base_of(workspace.project, run.pipeline, run.id)
    base = str(pinned["success"]) if pinned["success"] and options.compare else None
    previous = read_summary(logs / str(pinned["previous"])) if pinned["previous"] else None
    scrub, root = _scrubber(workspace, run).text, f"{workspace.root}/"

    def clean(text: str) -> str:
        return scrub(text.replace(root, ""))

    return Facts(run, _outline(logs / base) if base else None, base, previous, clean)


def _outline(folder: Path) -> RecordedRun | None:
    """Return a run to compare with; None if it is gone or damaged, which is no reason to tell nothing of this one."""
    with suppress(OSError, LookupError, TypeError, ValueError):
        return load_outline(folder)
    return None


def _scrubber(workspace: Workspace, run: RecordedRun) -> Scrubber:
    """Return a scrubber for all secrets of the project that are set, and the plan's; the session itself is clean."""
    from osiris.runner.credentials import resolve_secrets

    found: list[str] = []
    plan = run.plan.data if run.plan else {}
    for reference, fields in {**_declared(workspace), **(plan.get("connections") or {})}.items():
        with suppress(OsirisError):
            secrets = resolve_secrets(workspace.root, {reference: fields}, (), workspace.registry, workspace.environ)
            found += [text for group in secrets.secret.values() for text in group.values()]
    names = (f"OSIRIS_PARAM_{name.upper()}" for name in plan.get("sensitive") or ())
    found += [workspace.environ[name] for name in names if name in workspace.environ]
    return Scrubber([Secret(text) for text in found])


def _declared(workspace: Workspace) -> dict[str, Mapping[str, JsonValue]]:
    """Return the fields of all connections as they are written; none where the file cannot be read."""
    with suppress(OsirisError):
        declared = workspace.connections()
        named = [ConnectionRef(family, alias) for family, aliases in declared.declared.items() for alias in aliases]
        return {str(ref): as_written(declared, ref) for ref in named}
    return {}
