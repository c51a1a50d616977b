"""Manifests as files: saved in the project, found again, and never believed without a check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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


def last_compiled(project: Project) -> Path:
    """Return the path of the manifest that was compiled last; fails with RUN005 if there is none."""
    try:
        note = json.loads(project.last_compile.read_bytes())
    except (OSError, ValueError):
        note = None
    path = note.get("manifest") if isinstance(note, dict) else None
    if not isinstance(path, str):
        fail("RUN005")
    return project.root / path


def find_manifests(project: Project, *, pipeline: str = "*", fingerprint: str = "") -> list[Path]:
    """Return the manifests below `build/` of a pipeline, or all, whose fingerprint begins so; sorted by path."""
    short = fingerprint[:12]
    return sorted(project.build.glob(f"{pipeline}/{short}*/{FILE_NAME}"))


def newest_manifest(project: Project, pipeline: str) -> Path | None:
    """Return the manifest of a pipeline that was written last below `build/`, None if it has none."""
    times = {path: path.stat().st_mtime_ns for path in find_manifests(project, pipeline=pipeline)}
    return max(times, key=lambda path: (times[path], path), default=None)
