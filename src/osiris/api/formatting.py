"""Files in their canonical form."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.api.workspace import find_file, pipelines, shown
from osiris.errors import Diagnostic, Location, OsirisError, diagnostic, fail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from osiris.api.workspace import Workspace

WRITABLE = 0o222
"""The permissions of which a file has none if it is read-only, even to root."""


@dataclass(frozen=True, slots=True)
class Formatted:
    """A file, its text as it was and in its canonical form; both are empty if it is refused."""

    file: str
    before: str = ""
    after: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def changed(self) -> bool:
        """Tell whether the text is not in its canonical form."""
        return self.before != self.after

    def diff(self) -> list[str]:
        """Return the lines of a unified diff; a file with a literal secret is not shown."""
        from osiris.oml.parse import parse
        from osiris.secret import find_literal_secrets

        if not self.changed:
            return []
        if find_literal_secrets(parse(self.after, self.file).data):
            return [f"{self.file} holds what looks like a secret, and is not shown"]
        before, after = self.before.splitlines(), self.after.splitlines()
        return list(difflib.unified_diff(before, after, self.file, self.file, lineterm=""))


def format_text(text: str, file: str) -> str:
    """Return OML text in its canonical form; raises InvalidInput with all that keeps it from being read."""
    from osiris.oml.layout import format_oml
    from osiris.registry import load_registry

    return format_oml(text, file, load_registry())


def format_files(workspace: Workspace, files: Sequence[str], *, write: bool) -> list[Formatted]:
    """Bring files into canonical form, all of `pipelines/` if none is named, each on its own.

    With `write` those that change are replaced, each whole or not at all. A file that cannot be read or written says
    so in its diagnostics and stays as it is.
    """
    paths = [find_file(workspace, file) for file in files] or pipelines(workspace)
    return [_formatted(workspace, path, write=write) for path in dict.fromkeys(paths)]


def _formatted(workspace: Workspace, path: Path, *, write: bool) -> Formatted:
    from osiris.document import load_text
    from osiris.durable import write_file
    from osiris.oml.layout import format_oml

    name = shown(workspace, path)
    try:
        before = load_text(path, name)
        after = format_oml(before, name, workspace.registry)
        if write and before != after:
            _check_writable(path, name)
            write_file(path.resolve(), after.encode(), private=False)
    except OsirisError as error:
        return Formatted(name, diagnostics=error.diagnostics)
    return Formatted(name, before, after)


def _check_writable(path: Path, name: str) -> None:
    """Fail with DRV003 for a file that is not to be written: replacing it needs only its folder's permission."""
    if not (path.stat().st_mode & WRITABLE and os.access(path, os.W_OK)):
        fail("DRV003", path=name, reason="it is read-only")


def unformatted(results: Sequence[Formatted]) -> list[Diagnostic]:
    """Return OML033 for each file that is not in its canonical form."""
    return [diagnostic("OML033", at=Location(each.file)) for each in results if each.changed]
