"""Texts of pipelines that are put into the project: whole, only where pipelines lie, and never over another's work."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.api.pipelines import validate_text
from osiris.api.workspace import shown
from osiris.durable import make_folder, write_file
from osiris.errors import fail, raise_all
from osiris.files import is_outside, resolve_path
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.api.pipelines import Validated
    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue

_ENDINGS = PIPELINE_ENDINGS


@dataclass(frozen=True, slots=True)
class Saved:
    """A pipeline that was saved: the file as shown, its SHA-256, what became of it, and what checking it said."""

    file: str
    digest: str
    state: str
    checked: Validated

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data, but for the diagnostics."""
        return {"file": self.file, "digest": self.digest, "state": self.state, "name": self.checked.name}


def save_draft(workspace: Workspace, text: str, file: str, *, replaces: str | None = None) -> Saved:
    """Save OML text below pipelines/ or output/, whole or not at all; only what validates is saved.

    A file that is there and differs is left alone unless `replaces` is its SHA-256 (MCP003). Fails with MCP002 for a
    place that is not below these folders, links followed, and with all that is wrong with the text.
    """
    path = _place(workspace, file)
    checked = validate_text(workspace, text, path, params={})
    if not checked.ok:
        raise_all(checked.diagnostics)
    content = text.encode()
    before = read_draft(path)
    digest = hashlib.sha256(content).hexdigest()
    if before is not None and before not in (digest, replaces):
        fail("MCP003", path=shown(workspace, path), digest=before)
    if before != digest:
        make_folder(path.parent, private=False)
        write_file(path, content, private=False)
    state = "saved" if before is None else "unchanged" if before == digest else "replaced"
    return Saved(shown(workspace, path), digest, state, checked)


def read_draft(path: Path) -> str | None:
    """Return the SHA-256 of a file; None if there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        fail("PRJ006", path=path.name, reason=error.strerror or type(error).__name__)


def _place(workspace: Workspace, file: str) -> Path:
    path = resolve_path(workspace.root, file, writing=True)
    folders = (workspace.project.pipelines, workspace.project.output)
    here = next((folder for folder in folders if path.is_relative_to(folder) and path != folder), None)
    # A folder that is itself a link leads out as well.
    if here is None or here.is_symlink() or is_outside(here, path):
        fail("MCP002", path=file, hint="pipelines are saved below pipelines/ or output/")
    if path.suffix not in _ENDINGS or path.is_symlink():
        fail("MCP005", problem=f"'{file}' is no place for a pipeline", hint="name a file that ends in .yaml")
    return path
