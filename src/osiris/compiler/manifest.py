"""Manifest files: saved in the project, found again, and always verified.

`manifest.schema.json` describes their exact keys and types; undescribed keys are rejected.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from osiris.canonical import canonical_bytes, fingerprint
from osiris.compiler.build import (
    MANIFEST_VERSION,
    ROOT_KEYS,
    STEP_LEAVES,
    manifest_bytes,
    pinned_engines,
    root_hash,
    root_leaves,
    step_leaves,
)
from osiris.compiler.context import topological
from osiris.distribution import DISTRIBUTION, installed_version
from osiris.durable import make_folder, write_file
from osiris.errors import diagnostic, fail, has_errors, raise_all
from osiris.files import sweep
from osiris.model import JsonValue, Manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from osiris.errors import Diagnostic
    from osiris.project import Project
    from osiris.registry import Registry


@cache
def _schema() -> Mapping[str, JsonValue]:
    schema: dict[str, JsonValue] = json.loads(Path(__file__).with_name("manifest.schema.json").read_bytes())
    return schema


def shape_problems(data: JsonValue) -> list[tuple[str, str]]:
    """Return sorted (path, problem) pairs for missing and unknown keys and values of wrong types.

    Interprets `manifest.schema.json`; each `title` there describes a valid value. Plans are read often, and a general
    validator takes twenty times as long.
    """
    return sorted(_problems(data, _schema(), ""))


_KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", type(None): "null"}


def _problems(value: JsonValue, schema: Mapping[str, JsonValue], at: str) -> Iterator[tuple[str, str]]:
    while "$ref" in schema:
        schema = _schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    if not schema:
        return
    if not _fits(value, schema):
        yield at, f"is not {schema['title']}"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, schema["items"], f"{at}/{index}")
    elif isinstance(value, dict):
        yield from _problems_of_keys(value, schema, f"{at}/" if at else "")


def _problems_of_keys(
    value: Mapping[str, JsonValue], schema: Mapping[str, JsonValue], prefix: str
) -> Iterator[tuple[str, str]]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    yield from ((f"{prefix}{key}", "is missing") for key in schema.get("required", ()) if key not in value)
    for key, item in value.items():
        inner = properties.get(key, others)
        if inner is False:
            yield f"{prefix}{key}", "is not known"
        else:
            yield from _problems(item, inner, f"{prefix}{key}")


def _fits(value: JsonValue, schema: Mapping[str, JsonValue]) -> bool:
    """Tell whether a value itself, without its children, matches a schema."""
    kind = _KINDS.get(type(value), "number")
    kinds = schema.get("type", kind)
    if kind not in ([kinds] if isinstance(kinds, str) else kinds):
        return False
    if "enum" in schema and (kind == "boolean" or value not in schema["enum"]):
        return False
    return value is None or "pattern" not in schema or re.fullmatch(schema["pattern"], value) is not None


def read_shaped(path: Path) -> Manifest | None:
    """Return a file's manifest for display, not to run it; None if it is missing or has another shape.

    The fingerprint is not verified.
    """
    try:
        content = path.read_bytes()
        return Manifest(json.loads(content)) if _is_shaped(content) else None
    except (OSError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=4)
def _is_shaped(content: bytes) -> bool:
    """Return whether a manifest has the right shape; remembered, as the records of one run read its plan often."""
    return not shape_problems(json.loads(content))


def verify_manifest(
    data: bytes,
    registry: Registry,
    *,
    path: str,
    root: Path | None = None,
    requested: str = "",
    engines: Mapping[str, str] | None = None,
    allow_drift: bool = False,
    allow_changes: bool = False,
) -> tuple[Manifest, list[Diagnostic]]:
    """Return the manifest in `data`, and warnings; raises IntegrityError (CMP020 to CMP025) if it is invalid.

    `requested` is the expected fingerprint, or its first digits: another plan is rejected (CMP047), whatever its file.
    `root` is the project's folder. `engines` are the versions available by distribution; by default the installed ones.
    With `allow_drift` another engine version is a warning (RUN015), with `allow_changes` another component version is
    (RUN023).
    """
    from osiris.compiler.revalidate import recheck

    parsed, canonical = _parse(data, path)
    _reject(path, [f"{place} {problem}" for place, problem in shape_problems(parsed)])
    _reject(path, list(_order_problems(parsed)) or list(_leaf_problems(parsed)))
    _require_same(data, canonical, path)
    if not parsed["fingerprint"].startswith(requested):
        fail("CMP047", path=path, found=parsed["fingerprint"], asked=requested)
    changes = dict(_component_changes(parsed, registry, "RUN023" if allow_changes else "CMP023"))
    _raise_errors(changes.values())
    _reject(path, [] if changes else _unpinned(parsed, registry))
    drift = list(_drift(parsed, engines, "RUN015" if allow_drift else "CMP024"))
    _raise_errors(drift)
    _reject(path, recheck(parsed, registry, root or Path(), changes))
    return Manifest(parsed), [*changes.values(), *drift]


def _raise_errors(diagnostics: Collection[Diagnostic]) -> None:
    if has_errors(diagnostics):
        raise_all(diagnostics)


def _unpinned(data: Mapping[str, JsonValue], registry: Registry) -> list[str]:
    """Return the pinned engines that no component of the plan requires."""
    specs = (registry.get(step["component"]) for step in data["steps"])
    return [f"engines/{name}" for name in sorted(data["engines"].keys() - pinned_engines(specs))]


def _parse(data: bytes, path: str) -> tuple[dict[str, JsonValue], bytes]:
    """Return the parsed manifest, and its canonical bytes."""
    try:
        parsed = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        fail("CMP020", path=path, reason=f"byte {error.start} is not UTF-8")
    except RecursionError:
        fail("CMP020", path=path, reason="it is nested too deeply")
    except ValueError as error:
        if _is_earlier(data):
            fail("CMP025", path=path)
        fail(
            "CMP020",
            path=path,
            reason=str(error) if isinstance(error, json.JSONDecodeError) else "a number is too long",
        )
    if not isinstance(parsed, dict) or "manifest_version" not in parsed:
        fail("CMP020", path=path, reason="it is another kind of JSON")
    if parsed["manifest_version"] != MANIFEST_VERSION:
        fail("CMP020", path=path, reason=f"this version reads only manifest_version {MANIFEST_VERSION}")
    try:
        return parsed, canonical_bytes(parsed)
    except (ValueError, RecursionError):
        fail("CMP020", path=path, reason="it contains a value that canonical JSON cannot represent")


def _is_earlier(data: bytes) -> bool:
    """Tell whether non-JSON bytes look like the YAML manifest of the earlier implementation."""
    lines = data.splitlines()
    return all(any(line.startswith(key) for line in lines) for key in (b"pipeline:", b"steps:", b"meta:"))


def _require_same(data: bytes, canonical: bytes, path: str) -> None:
    if data != canonical:
        pairs = enumerate(zip(data, canonical, strict=False))
        offset = next((i for i, (byte, right) in pairs if byte != right), min(len(data), len(canonical)))
        fail("CMP021", path=path, offset=offset)


def _reject(path: str, leaves: list[str]) -> None:
    if leaves:
        raise_all([diagnostic("CMP022", path=path, leaf=leaf) for leaf in leaves])


def _order_problems(data: Mapping[str, JsonValue]) -> Iterator[str]:
    ids = [step["id"] for step in data["steps"]]
    unique = set(ids)
    if len(unique) != len(ids):
        yield "steps (an id appears twice)"
        return
    for step in data["steps"]:
        needs = set(step["needs"])
        if step["needs"] != sorted(needs) or not needs.issuperset(step["inputs"].values()):
            yield f"steps/{step['id']}/needs"
        elif not needs <= unique:
            yield f"steps/{step['id']}/needs (no such step)"
    if topological({step["id"]: step["needs"] for step in data["steps"]}) != ids:
        yield "steps (order)"


def _leaf_problems(data: Mapping[str, JsonValue]) -> Iterator[str]:
    root = root_leaves(data)
    yield from (f"leaves/{name}" for name in ROOT_KEYS if root[name] != data["leaves"][name])
    earlier: dict[str, Mapping[str, JsonValue]] = {}
    for step in data["steps"]:
        leaves = step_leaves(step, earlier)
        yield from (f"steps/{step['id']}/{name}" for name in STEP_LEAVES if leaves[name] != step["leaves"][name])
        if fingerprint(step["leaves"]) != step["hash"]:
            yield f"steps/{step['id']}/hash"
        earlier[step["id"]] = step
    if root_hash(data) != data["fingerprint"]:
        yield "fingerprint"


def _component_changes(
    data: Mapping[str, JsonValue], registry: Registry, code: str
) -> Iterator[tuple[str, Diagnostic]]:
    """Yield each component that differs from the planned one, with a diagnostic."""
    planned = {(step["component"], step["version"], step["spec"]) for step in data["steps"]}
    for component, version, digest in sorted(planned):
        spec = registry.find(component)
        if spec is None:
            yield component, diagnostic("CMP023", component=component, what="it is not installed")
        elif (spec.version, spec.digest) != (version, digest):
            is_other = spec.version != version
            what = f"version {spec.version}, {f'planned {version}' if is_other else 'but another specification'}"
            yield component, diagnostic(code, component=component, what=what)


def _drift(data: Mapping[str, JsonValue], engines: Mapping[str, str] | None, code: str) -> Iterator[Diagnostic]:
    pinned = {"osiris": data["osiris"], **data["engines"]}
    installed = {"osiris": installed_version(DISTRIBUTION), **(engines or {})}
    for engine, version in sorted(pinned.items()):
        here = installed.get(engine) or installed_version(engine)
        if here != version:
            yield diagnostic(code, engine=engine, found=here or "not installed", pinned=version)


def read_manifest(path: Path) -> bytes:
    """Return the bytes of a plan file, for `verify_manifest`.

    Fails with CMP020 if it cannot be read, with CMP025 for one of the earlier implementation.
    """
    if path.suffix in (".yaml", ".yml"):
        fail("CMP025", path=path)
    try:
        return path.read_bytes()
    except OSError as error:
        fail("CMP020", path=path, reason=error.strerror or type(error).__name__)


FILE_NAME = "manifest.json"
LENGTH = 64
"""Digits of a fingerprint."""
SHORT = 12
"""Digits of a fingerprint that name a plan's folder."""


class PlanFile(NamedTuple):
    """A plan file, and its expected fingerprint: all digits, the first ones, or none (any plan)."""

    path: Path
    asked: str = ""


def plan_folder(project: Project, manifest: Manifest) -> Path:
    """Return the folder of a plan: `build/<pipeline>/<first 12 hex digits>`."""
    return project.build / manifest.name / manifest.short


def save_manifest(project: Project, manifest: Manifest, out: Path | None = None) -> Path:
    """Write a manifest, to `out` if given, record it as the last compiled, and return its path.

    The write is atomic.
    """
    path = (out or plan_folder(project, manifest)) / FILE_NAME
    make_folder(path.parent, private=False)
    sweep(path.parent)
    write_file(path, manifest_bytes(manifest), private=False)
    resolved, root = path.resolve(), project.root.resolve()
    display = resolved.relative_to(root) if resolved.is_relative_to(root) else resolved
    note = {"pipeline": manifest.name, "fingerprint": manifest.fingerprint, "manifest": display.as_posix()}
    make_folder(project.state, private=True)
    write_file(project.last_compile, canonical_bytes(note), private=True)
    return path


def is_manifest(path: Path, manifest: Manifest) -> bool:
    """Tell whether a file is exactly this manifest, which then needs no verification."""
    try:
        return path.read_bytes() == manifest_bytes(manifest)
    except OSError:
        return False


def last_compiled(project: Project) -> PlanFile:
    """Return the file and fingerprint of the last compiled plan; fails with RUN005 if there is none."""
    try:
        note = json.loads(project.last_compile.read_bytes())
    except (OSError, ValueError):
        note = None
    path, digits = (note.get(key) for key in ("manifest", "fingerprint")) if isinstance(note, dict) else (None, None)
    if not (isinstance(path, str) and isinstance(digits, str) and re.fullmatch(f"[0-9a-f]{{{LENGTH}}}", digits)):
        fail("RUN005")
    return PlanFile(project.root / path, digits)


def find_manifests(project: Project, *, pipeline: str = "*", fingerprint: str = "") -> list[PlanFile]:
    """Return the manifests below `build/`, of one pipeline or all, whose folder name starts with the fingerprint;
    sorted.

    Each must have a fingerprint that starts with its folder's name.
    """
    paths = project.build.glob(f"{pipeline}/{fingerprint[:SHORT]:?<{SHORT}}/{FILE_NAME}")
    return [PlanFile(path, path.parent.name) for path in sorted(paths)]


def newest_manifest(project: Project, pipeline: str) -> PlanFile | None:
    """Return the newest manifest of a pipeline below `build/`, None if it has none."""
    times = {file: file.path.stat().st_mtime_ns for file in find_manifests(project, pipeline=pipeline)}
    return max(times, key=lambda file: (times[file], file), default=None)
