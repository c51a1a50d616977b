"""What completion suggests for a word: names in the project's files and caches, and of what is installed.

Nothing here connects, resolves a secret, writes, or imports code of other packages. Files are suggested by the rules
for steps: no hidden ones, no files with settings of the project, no links that lead to those or out of the project.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click
from click.shell_completion import CompletionItem

from osiris.cli.command import PROJECT
from osiris.path_policy import CONNECTIONS_FILE, LOCK_FILE, MARKER
from osiris.project import PIPELINE_ENDINGS, Project, find_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from osiris.model import JsonValue

Names: TypeAlias = "Iterator[tuple[str, str]]"
"""Suggestions, each with a description, which may be empty."""

Source: TypeAlias = "Callable[[click.Context, str], Names]"
"""A source of names for a word of a command line that begins so."""

DESCRIBED = 20
"""The newest sessions, whose run.json is read for its description and its run id."""

_LARGEST = 512 << 10
"""Bytes of a pipeline that is read: a larger one takes longer than a person waits."""

_SETTINGS = {CONNECTIONS_FILE, LOCK_FILE, MARKER}
_ENDINGS = {"run": (*PIPELINE_ENDINGS, ".json"), "lineage": (*PIPELINE_ENDINGS, ".json"), "check": (".sql",)}


def suggestions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what may stand for a parameter's value; a source of names that fails has none."""
    metavar = param.metavar or ""
    if re.fullmatch(r"[a-z]+(\|[a-z]+)+", metavar):
        return [CompletionItem(word) for word in metavar.split("|")]
    items: dict[str, CompletionItem] = {}
    for source in _sources(param, metavar):
        with suppress(Exception):  # whatever is wrong with the project: other commands report it
            for name, text in source(ctx, incomplete):
                items.setdefault(name, CompletionItem(name, help=text or None))
    return list(items.values())


def _sources(param: click.Parameter, metavar: str) -> list[Source]:
    """Return the sources of a parameter: by its last name, else by the words of its metavar."""
    if param.opts[-1] in SOURCES:
        return [*SOURCES[param.opts[-1]]]
    words = re.findall(r"[@A-Za-z.]+", metavar.replace("FILE", "PATH") if isinstance(param, click.Option) else metavar)
    return [source for word in words for source in SOURCES.get(word, ())]


def _project(ctx: click.Context) -> Project:
    return find_project(Path() if ctx.meta.get(PROJECT) else None, os.environ)


def _any_files(_ctx: click.Context, incomplete: str) -> Names:
    return _files(incomplete, ("",))


def _folders(_ctx: click.Context, incomplete: str) -> Names:
    return _files(incomplete, ())


def _pipelines(ctx: click.Context, incomplete: str) -> Names:
    return _files(incomplete, _ENDINGS.get(ctx.command.name or "", PIPELINE_ENDINGS))


def _files(incomplete: str, endings: tuple[str, ...]) -> Names:
    """Yield the folders and files that a path may continue with; files only with one of these endings."""
    begin = incomplete.rpartition("/")[2]
    typed = incomplete.removesuffix(begin)
    where = Path(typed or ".").expanduser()
    top = _top(where)
    if not (_is_shown(where) and _is_below(where, top)):
        return
    for entry in sorted(os.scandir(where), key=lambda each: each.name):
        if entry.name.startswith(begin) and _may_show(entry, endings, top):
            bare = "./" if entry.name.startswith("-") and not incomplete else ""
            yield f"{typed}{bare}{entry.name}{'/' if entry.is_dir() else ''}", ""


def _may_show(entry: os.DirEntry[str], endings: tuple[str, ...], top: Path) -> bool:
    """Return whether an entry is a folder, or a file with one of these endings, that steps may read."""
    fits = entry.is_dir() or (entry.is_file() and entry.name.endswith(endings))
    return fits and _is_shown(Path(entry.name)) and not (entry.is_symlink() and not _is_below(entry.path, top))


def _top(folder: Path) -> Path:
    """Return what links in a folder must not leave: the project it is in, else the folder."""
    typed = Path(os.path.abspath(folder))  # noqa: PTH100 - links are not followed
    marked = (each for each in (typed, *typed.parents) if (each / MARKER).is_file())
    return Path(os.path.realpath(next(marked, typed)))


def _is_shown(path: Path) -> bool:
    """Return whether no part of a path is hidden or has settings of the project."""
    return not any(part in _SETTINGS or (part.startswith(".") and part != "..") for part in path.parts)


def _is_below(path: str | Path, top: Path) -> bool:
    """Return whether a path leads into a folder, and to nothing hidden there."""
    real = Path(os.path.realpath(path))
    return real.is_relative_to(top) and _is_shown(real.relative_to(top))


def _connections(ctx: click.Context, incomplete: str) -> Names:
    if incomplete[:1] in ("", "@"):
        yield from ((name, "") for name in _declared(ctx))


def _declared(ctx: click.Context) -> Iterator[str]:
    """Yield the declared connections; their fields stay unread."""
    declared = _data(_project(ctx).connections_file)["connections"]
    for family in declared:
        yield from (f"@{family}.{alias}" for alias in declared[family])


def _tables(ctx: click.Context, incomplete: str) -> Names:
    """Yield @family.alias.table for the tables that a discovery has found."""
    if incomplete.startswith("@"):
        for name in _declared(ctx):
            if incomplete.startswith(f"{name}."):
                yield from ((f"{name}.{table}", "") for table in _cached(ctx, name))


def _tables_of_target(ctx: click.Context, _incomplete: str) -> Names:
    yield from ((table, "") for table in _cached(ctx, str(ctx.params.get("target"))))


def _cached(ctx: click.Context, connection: str) -> Iterable[str]:
    from osiris.discovery.store import cached_tables

    return cached_tables(_project(ctx), connection)


def _data(path: Path) -> JsonValue:
    """Return the data of a YAML or JSON file; nothing of a large one. Raises OsirisError, OSError and ValueError."""
    from osiris.document import load_text, read_document

    if path.stat().st_size > _LARGEST:
        return {}
    text = load_text(path, path.name)
    return json.loads(text) if path.suffix == ".json" else read_document(text, path.name).data


def _chosen_file(ctx: click.Context) -> Path:
    """Return the pipeline or plan that was typed before; plans also by their fingerprint."""
    typed = str(ctx.params.get("target") or ctx.params.get("file") or ctx.params.get("files", ("",))[0])
    if re.fullmatch("[0-9a-f]{4,64}", typed):
        return next(_project(ctx).build.glob(f"*/{typed[:12]}*/manifest.json"))
    return Path(typed) if Path(typed).exists() else _project(ctx).root / typed


def _step_ids(ctx: click.Context) -> list[str]:
    if ctx.params.get("target") or ctx.params.get("file"):
        files = [_chosen_file(ctx)]
    else:
        files = [path for path in sorted(_project(ctx).pipelines.iterdir()) if path.suffix in PIPELINE_ENDINGS]
    return [step["id"] for path in islice(files, 5) for step in _data(path).get("steps", ())]


def _steps(ctx: click.Context, incomplete: str) -> Names:
    """Yield steps; of several with commas between them the last one is completed."""
    before = incomplete[: incomplete.rfind(",") + 1]
    plus = "+" if incomplete.removeprefix(before).startswith("+") else ""
    yield from ((f"{before}{plus}{step}", "") for step in _step_ids(ctx))


def _params(ctx: click.Context, _incomplete: str) -> Names:
    for name, declared in _data(_chosen_file(ctx))["params"].items():
        about = declared.get("description") if isinstance(declared, dict) else ""
        yield f"{name}=", str(about or "")


def _profiles(ctx: click.Context, _incomplete: str) -> Names:
    with suppress(Exception):
        yield from ((name, "") for name in _data(_chosen_file(ctx))["profiles"])
    yield from ((name, "") for name in _data(_project(ctx).config_file)["profiles"])


def _sessions(ctx: click.Context, incomplete: str) -> Names:
    from osiris.session.finding import RECENT, session_folders
    from osiris.session.stored import read_summary

    yield from ((name, "") for name in RECENT)
    folders = (each for each in session_folders(_project(ctx)) if each.name.startswith(incomplete))
    for number, folder in enumerate(folders):
        record = (read_summary(folder) if number < DESCRIBED else None) or {}
        yield folder.name, str(record.get("status") or "")
    yield from _run_ids(ctx, incomplete)


def _run_ids(ctx: click.Context, _incomplete: str) -> Names:
    from osiris.session.finding import is_session_id, session_folders
    from osiris.session.stored import read_summary

    for folder in session_folders(_project(ctx))[:DESCRIBED]:
        record = read_summary(folder) or {}
        key = str(record.get("run_key") or "")
        if key and not is_session_id(key):
            yield key, f"run of {record.get('pipeline')}"


def _fingerprints(ctx: click.Context, incomplete: str) -> Names:
    for path in _project(ctx).build.glob("*/*/manifest.json") if incomplete else ():
        yield path.parent.name, path.parent.parent.name


def _codes(_ctx: click.Context, incomplete: str) -> Names:
    from osiris.codes import CODES

    yield from ((code, row.title) for code, row in CODES.items() if incomplete)


def _components(ctx: click.Context, _incomplete: str) -> Names:
    from osiris.family_spec import COMPONENTS, entries_of

    if ctx.command.name != "new":  # whose name must not exist
        yield from ((name, "") for name in sorted(entry.name for entry in entries_of(COMPONENTS)[0]))


def _targets(_ctx: click.Context, _incomplete: str) -> Names:
    from osiris.config import OWN_TARGETS, TARGETS
    from osiris.family_spec import entries_of

    yield from ((name, "") for name in (*OWN_TARGETS, *sorted(entry.name for entry in entries_of(TARGETS)[0])))


def _config_keys(_ctx: click.Context, _incomplete: str) -> Names:
    from osiris.config import KEYS

    yield from ((name, key.purpose) for name, key in KEYS.items())


def _providers(_ctx: click.Context, _incomplete: str) -> Names:
    from osiris.config import PROVIDERS

    yield from ((name, "") for name in PROVIDERS)


_PLACES = (_any_files, _connections, _tables)
SOURCES: dict[str, tuple[Source, ...]] = {
    "--profile": (_profiles,),
    "--param": (_params,),
    "--provider": (_providers,),
    "--run-id": (_run_ids,),
    "--table": (_tables_of_target,),
    "--target": (_targets,),
    "session": (_sessions,),
    "old": (_sessions, _fingerprints),
    "new": (_sessions, _fingerprints),
    "key": (_config_keys,),
    "name": (_components,),
    "FILE": (_pipelines,),
    "PLAN": (_pipelines,),
    "PATH": (_any_files,),
    "DIR": (_folders,),
    **dict.fromkeys(("SOURCE", "TARGET", "TABLE"), _PLACES),
    "@FAMILY.ALIAS": (_connections,),
    "FINGERPRINT": (_fingerprints,),
    "SESSION": (_sessions,),
    "RUN": (_sessions,),
    "CODE": (_codes,),
    "STEP": (_steps,),
}
"""Sources of names: by the last name of a parameter, else by the words of its metavar."""
