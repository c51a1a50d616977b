"""Which OML file a plan was made of, where the run was only given the plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.project import Project

_NAME = re.compile(rb"""^name:[ \t]*["']?([^"'#\r\n]*?)["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE)


def find_oml(project: Project, pipeline: str) -> str | None:
    """Return the file below pipelines/ that declares a pipeline, relative to the project; None if not just one does."""
    files = (path for path in project.pipelines.glob("**/*") if path.suffix in PIPELINE_ENDINGS and path.is_file())
    found = [path.relative_to(project.root).as_posix() for path in files if _declares(path, pipeline)]
    return found[0] if len(found) == 1 else None


def _declares(path: Path, pipeline: str) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    first = _NAME.search(content)
    return first is not None and first[1] == pipeline.encode()
