"""The state of a pair in the manifest of a published folder: it is replaced together with the list of files.

docs/decisions/0017-published-folders.md, docs/decisions/0020-cursors-and-state.md.
"""

from __future__ import annotations

import base64
import struct
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.delivery import MANIFEST, FolderManifest, parse_manifest
from osiris.errors import fail
from osiris.families.files.folders import manifest_version, open_published
from osiris.replication import State, Stored

if TYPE_CHECKING:
    from osiris.driver import StepContext
    from osiris.families.files.folders import Folder
    from osiris.model import JsonValue, Schema
    from osiris.replication import Rows, StateChange

MOST_KEPT = 100_000
"""Maximum number of rows at or above the mark, whose digests are in the manifest: readers of the folder read it too."""

_ENTRY = struct.Struct("<16sq")
"""A row: its digest, and the place of its cursor's value."""


def manifest_of(folder: Folder) -> tuple[JsonValue, FolderManifest | None]:
    """Return the version of a folder's manifest and the manifest, None without one; fails as `manifest_version`."""
    version = manifest_version(folder)
    current = folder.manifest() if version is not None else None
    if current is None:
        return version, None
    return current.version, parse_manifest(current.content, folder.label(MANIFEST))


def load_state(folder: Folder, ctx: StepContext) -> tuple[State | None, Rows]:
    """Return how far the pair of a step has been read, and the delivered rows that may be read again.

    Fails with STA006 if there is no state but the folder has rows, STA010 for an unreadable one, and as
    `open_published`.
    """
    _, manifest = manifest_of(folder)
    version, state = _state(manifest, ctx)
    if version and state is None:
        fail("STA010", step=ctx.step, **_names(folder))
    if manifest is None or state is None:
        if manifest is not None and manifest.rows:
            fail("STA006", step=ctx.step, **_names(folder), source=_source(ctx))
        return None, Counter()
    open_published(folder)
    return state, _kept(manifest)


def stored_state(folder: Folder, ctx: StepContext) -> Stored:
    """Return what a folder has of the pair of a step."""
    _, manifest = manifest_of(folder)
    version, state = _state(manifest, ctx)
    return Stored(version, state, _kept(manifest).total() if manifest and state else 0)


def expect_version(folder: Folder, manifest: FolderManifest | None, ctx: StepContext, version: int) -> None:
    """Fail with STA001 unless the state of a pair has this version."""
    if _state(manifest, ctx)[0] != version:
        fail("STA001", **_names(folder))


def delivered(manifest: FolderManifest | None, ctx: StepContext) -> JsonValue:
    """Return what is recorded of the last delivery, if it is that of this run and step: `rows` and `digest`."""
    record = (manifest.state if manifest else None) or {}
    is_ours = (record.get("run_key"), record.get("step")) == (ctx.run_key, ctx.step)
    return record if is_ours and ctx.run_key else None


def with_state(manifest: FolderManifest, state: State, kept: Rows, ctx: StepContext, rows: int) -> FolderManifest:
    """Return a manifest with the state of a pair, and the record of a delivery of `rows`; fails with STA005."""
    if kept.total() > MOST_KEPT:
        holder = "the guard or lag of the cursor, or a transaction"
        fail("STA005", step=ctx.step, rows=kept.total(), most=MOST_KEPT, holder=holder)
    record = {
        "source": _source(ctx),
        "version": state.version,
        "content": state.to_text(),
        "kept": base64.b64encode(b"".join(_ENTRY.pack(*entry) for entry in sorted(kept.elements()))).decode(),
        "run_key": ctx.run_key,
        "step": ctx.step,
        "rows": rows,
        "digest": ctx.digest(),
    }
    return replace(manifest, state=record)


def changed(folder: Folder, schema: Schema, ctx: StepContext, change: StateChange) -> tuple[JsonValue, FolderManifest]:
    """Return the version of a folder's manifest, and the manifest with another state; fails with STA001.

    Delivered rows are not recognized any more: whether the next run reads the same columns is not known here.
    """
    version, manifest = manifest_of(folder)
    expect_version(folder, manifest, ctx, change.state.version - 1)
    base = manifest or FolderManifest(0, schema, (), ())
    return version, with_state(base, change.state, Counter(), ctx, 0)


def _source(ctx: StepContext) -> str:
    return str((ctx.pair or {})["source"])


def _names(folder: Folder) -> dict[str, Any]:
    return {"table": folder.label("").rstrip("/").rpartition("/")[2], "path": folder.label(MANIFEST)}


def _state(manifest: FolderManifest | None, ctx: StepContext) -> tuple[int, State | None]:
    """Return the version of the state, 0 if there is none of this pair, and the state, None if it is unreadable."""
    record = (manifest.state if manifest else None) or {}
    if record.get("source") != _source(ctx):
        return 0, None
    try:
        version = int(record["version"])
        return version, State.from_text(version, record["content"])
    except (ValueError, KeyError, TypeError):
        return 1, None


def _kept(manifest: FolderManifest) -> Rows:
    content = base64.b64decode((manifest.state or {}).get("kept", ""))
    return Counter(_ENTRY.iter_unpack(content))
