"""The choices that a command names: of each source only what is named is looked at, and no rows are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris import api
from osiris.chat.catalog_import import read_names
from osiris.chat.live import source_of, writers_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.chat.choices import Choices
    from osiris.model import JsonValue


def choices_for(workspace: Workspace, tables: Iterable[str]) -> Choices:
    """Return the choices for paths and `@FAMILY.ALIAS/TABLE`, beside them the names that are near; fails as they do.

    What is neither is taken for the name of one of the others.
    """
    wanted: dict[str, list[str]] = {}
    for text in tables:
        if source := target_of(workspace.root, text):
            wanted.setdefault(source, []).append(text.partition("/")[2] if text.startswith("@") else text)
    sources = [source_of(_discovered(workspace, source, names)) for source, names in wanted.items()]
    return read_names({"sources": sources, "writers": writers_of(workspace), "silent": {}})


def target_of(root: Path, text: str) -> str | None:
    """Return what is looked at for a path or `@FAMILY.ALIAS/TABLE`: of a path that is not there, what is beside it."""
    if text.startswith("@"):
        return text.partition("/")[0]
    if any(char in text for char in "*?[") or (root / text).exists():
        return text
    return f"{text.rpartition('/')[0]}/*" if "/" in text else None


def _discovered(workspace: Workspace, source: str, names: list[str]) -> JsonValue:
    """Return what discovery tells of a source, with the columns of the tables that are named, in whatever case."""
    found = api.discover(workspace, source).to_json()
    folded = {name.casefold() for name in names}
    near = [each["name"] for each in found["tables"] if each["name"].casefold() in folded and each["columns"] is None]
    if near:
        looked = {each["name"]: each for each in api.discover(workspace, source, near).to_json()["tables"]}
        found["tables"] = [looked.get(each["name"], each) for each in found["tables"]]
    return found
