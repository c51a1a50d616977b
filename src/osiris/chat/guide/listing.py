"""What can be read, as it is found: data files at once, the tables of each connection when its server answers."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from osiris import api
from osiris.chat.catalog_import import one_line, read_names
from osiris.chat.guide.sources import option_of
from osiris.chat.live import data_files, data_folders, references, source_of
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.api import Workspace
    from osiris.chat.guide.desk import Desk
    from osiris.chat.guide.questions import Option
    from osiris.model import JsonValue
    from osiris.runner.per_job_worker import Worker

_NOT_DISCOVERED = "DSC001"
"""Code of a connection that has no tables to look at: it may still be written to."""


class Listing:
    """The relations of a project; `silent` has why a source is not listed, by its name."""

    def __init__(self, workspace: Workspace, desk: Desk) -> None:
        self.silent: dict[str, str] = {}
        self._workspace = workspace
        folders, connections = data_folders(workspace), references(workspace)
        self._found: dict[str, tuple[Option, ...]] = {
            folder: tuple(option_of(name, folder, name) for name in data_files(workspace.root, folder))
            for folder in folders
        }
        self._waiting = [*connections]
        self._desk: Desk | None = desk

    def start(self) -> None:
        """Begin to ask, once the first question is on the screen: what starts then would hold that up."""
        desk, self._desk = self._desk, None
        if desk is None:
            return
        for folder in list(self._found):
            desk.do(partial(self._ask, folder))
        threading.Thread(target=self._ask_all, args=([*self._waiting],), daemon=True).start()

    def options(self, source: str = "") -> tuple[Option, ...]:
        """Return what is found by now, of one source or of all."""
        return tuple(o for name in list(self._found) if source in ("", name) for o in self._found[name])

    def waiting(self) -> tuple[str, ...]:
        """Return the sources that have not answered yet."""
        return tuple(self._waiting)

    def _ask_all(self, connections: list[str]) -> None:
        for name in connections:
            self._ask(name)

    def _ask(self, target: str, worker: Worker | None = None) -> None:
        try:
            told = api.discover(self._workspace, target, worker=worker).to_json()
            self._found[target] = _options(target, told)
        except OsirisError as error:
            found = error.diagnostics[0]
            if found.code != _NOT_DISCOVERED:
                self.silent[target] = one_line(str(found), 300)
        finally:
            if target in self._waiting:
                self._waiting.remove(target)


def _options(target: str, told: Mapping[str, JsonValue]) -> tuple[Option, ...]:
    choices = read_names({"sources": [{**source_of(told), "target": target}], "writers": [], "silent": {}})
    return tuple(
        option_of(each.id, each.source, each.table, "" if each.rows is None else f"about {each.rows:,} rows")
        for each in choices.relations
    )
