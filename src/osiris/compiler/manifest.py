"""Manifests as files: saved in the project, found again, and never believed without a check."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from osiris.canonical import canonical_bytes
from osiris.compiler.build import build, manifest_bytes, plan_steps
from osiris.compiler.verify import load_manifest, verify_manifest
from osiris.durable import make_folder, write_file
from osiris.errors import fail
from osiris.files import sweep

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.model import Manifest
    from osiris.project import Project

__all__ = [
    "PlanFile",
    "build",
    "find_manifests",
    "holds",
    "last_compiled",
    "load_manifest",
    "manifest_bytes",
    "newest_manifest",
    "plan_folder",
    "plan_steps",
    "save_manifest",
    "verify_manifest",
]

FILE_NAME = "manifest.json"
LENGTH = 64
"""Digits of a fingerprint."""
SHORT = 12
"""Digits of a fingerprint that name a plan's folder."""


class PlanFile(NamedTuple):
    """The file of a plan, and the fingerprint that it must have: all digits, the first ones, or none (any plan)."""

    path: Path
    asked: str = ""


def plan_folder(project: Project, manifest: Manifest) -> Path:
    """Return the folder of a plan: `build/<pipeline>/<first 12 hex digits>`."""
    return project.build / manifest.name / manifest.short


def save_manifest(project: Project, manifest: Manifest, out: Path | None = None) -> Path:
    """Write a manifest, to `out` instead of its own folder if given, note it as the last compiled; return its path.

    The file shows the old or the new state, never a part.
    """
    path = (out or plan_folder(project, manifest)) / FILE_NAME
    make_folder(path.parent, private=False)
    sweep(path.parent)
    write_file(path, manifest_bytes(manifest), private=False)
    resolved, root = path.resolve(), project.root.resolve()
    shown = resolved.relative_to(root) if resolved.is_relative_to(root) else resolved
    note = {"pipeline": manifest.name, "fingerprint": manifest.fingerprint, "manifest": shown.as_posix()}
    make_folder(project.state, private=True)
    write_file(project.last_compile, canonical_bytes(note), private=True)
    return path


def holds(path: Path, manifest: Manifest) -> bool:
    """Tell whether a file is exactly this manifest, which then needs no check."""
    try:
        return path.read_bytes() == manifest_bytes(manifest)
    except OSError:
        return False


def last_compiled(project: Project) -> PlanFile:
    """Return the file and the fingerprint of the plan that was compiled last; fails with RUN005 if there is none."""
    try:
        note = json.loads(project.last_compile.read_bytes())
    except (OSError, ValueError):
        note = None
    path, asked = (note.get(key) for key in ("manifest", "fingerprint")) if isinstance(note, dict) else (None, None)
    if not (isinstance(path, str) and isinstance(asked, str) and re.fullmatch(f"[0-9a-f]{{{LENGTH}}}", asked)):
        fail("RUN005")
    return PlanFile(project.root / path, asked)


def find_manifests(project: Project, *, pipeline: str = "*", fingerprint: str = "") -> list[PlanFile]:
    """Return the manifests below `build/` of a pipeline, or all, whose folder's name begins so; sorted by path.

    Each must have the fingerprint that its folder's name is the beginning of.
    """
    found = project.build.glob(f"{pipeline}/{fingerprint[:SHORT]:?<{SHORT}}/{FILE_NAME}")
    return [PlanFile(path, path.parent.name) for path in sorted(found)]


def newest_manifest(project: Project, pipeline: str) -> PlanFile | None:
    """Return the manifest of a pipeline that was written last below `build/`, None if it has none."""
    times = {file: file.path.stat().st_mtime_ns for file in find_manifests(project, pipeline=pipeline)}
    return max(times, key=lambda file: (times[file], file), default=None)
