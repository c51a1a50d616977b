"""Whether a manifest is what it claims to be, and whether its plan would still be accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from osiris.canonical import canonical_bytes, fingerprint
from osiris.compiler.build import MANIFEST_VERSION
from osiris.compiler.engines import installed_version, pinned_engines
from osiris.compiler.fingerprint_tree import ROOT_KEYS, STEP_LEAVES, root_hash, root_leaves, step_leaves
from osiris.compiler.manifest_schema import shape_problems
from osiris.compiler.passes import topological
from osiris.compiler.revalidate import recheck
from osiris.distribution import DISTRIBUTION
from osiris.errors import diagnostic, fail, has_errors, raise_all
from osiris.model import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.registry import Registry


def verify_manifest(
    data: bytes,
    registry: Registry,
    *,
    path: str,
    root: Path | None = None,
    asked: str = "",
    engines: Mapping[str, str] | None = None,
    allow_drift: bool = False,
    allow_changes: bool = False,
) -> tuple[Manifest, list[Diagnostic]]:
    """Return the manifest that `data` is, and warnings; raises IntegrityError (CMP020 to CMP025) if it is not one.

    `asked` is the fingerprint that it must have, or its first digits: another plan is refused (CMP047), whatever its
    file is called. `root` is the project's folder. `engines` are the versions found here by distribution; without it
    those that are installed. With `allow_drift` another version of an engine is a warning (RUN015), with
    `allow_changes` another one of a component is (RUN023).
    """
    parsed = _parse(data, path)
    canonical = _canonical(parsed, path)
    _refuse(path, [f"{where} {problem}" for where, problem in shape_problems(parsed)])
    _refuse(path, list(_order_problems(parsed)) or list(_leaf_problems(parsed)))
    _require_same(data, canonical, path)
    if not parsed["fingerprint"].startswith(asked):
        fail("CMP047", path=path, found=parsed["fingerprint"], asked=asked)
    others = dict(_component_changes(parsed, registry, "RUN023" if allow_changes else "CMP023"))
    changed = list(others.values())
    if has_errors(changed):
        raise_all(changed)
    if not others:
        specs = (registry.get(step["component"]) for step in parsed["steps"])
        _refuse(path, [f"engines/{name}" for name in sorted(parsed["engines"].keys() - pinned_engines(specs))])
    drift = list(_drift(parsed, engines, "RUN015" if allow_drift else "CMP024"))
    if drift and not allow_drift:
        raise_all(drift)
    _refuse(path, recheck(parsed, registry, root or Path(), others))
    return Manifest(parsed), [*changed, *drift]


def _parse(data: bytes, path: str) -> dict[str, JsonValue]:
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
        fail("CMP020", path=path, reason="it is JSON of another kind")
    if parsed["manifest_version"] != MANIFEST_VERSION:
        fail("CMP020", path=path, reason=f"this version reads only manifest_version {MANIFEST_VERSION}")
    return parsed


def _is_earlier(data: bytes) -> bool:
    """Tell whether something that is no JSON looks like the YAML manifest of the earlier implementation."""
    lines = data.splitlines()
    return all(any(line.startswith(key) for line in lines) for key in (b"pipeline:", b"steps:", b"meta:"))


def _canonical(parsed: JsonValue, path: str) -> bytes:
    try:
        return canonical_bytes(parsed)
    except (ValueError, RecursionError):
        fail("CMP020", path=path, reason="it holds a value that canonical JSON cannot carry")


def _require_same(data: bytes, canonical: bytes, path: str) -> None:
    if data != canonical:
        pairs = enumerate(zip(data, canonical, strict=False))
        offset = next((i for i, (found, right) in pairs if found != right), min(len(data), len(canonical)))
        fail("CMP021", path=path, offset=offset)


def _refuse(path: str, leaves: list[str]) -> None:
    if leaves:
        raise_all([diagnostic("CMP022", path=path, leaf=leaf) for leaf in leaves])


def _order_problems(data: Mapping[str, JsonValue]) -> Iterator[str]:
    ids = [step["id"] for step in data["steps"]]
    known = set(ids)
    if len(known) != len(ids):
        yield "steps (an id appears twice)"
        return
    for step in data["steps"]:
        needs = set(step["needs"])
        if step["needs"] != sorted(needs) or not needs.issuperset(step["inputs"].values()):
            yield f"steps/{step['id']}/needs"
        elif not needs <= known:
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
    """Yield each component that is not the planned one, and what is to be said of it."""
    planned = {(step["component"], step["version"], step["spec"]) for step in data["steps"]}
    for component, version, digest in sorted(planned):
        spec = registry.find(component)
        if spec is None:
            yield component, diagnostic("CMP023", component=component, what="it is not installed")
        elif spec.version != version:
            what = f"version {spec.version}, planned {version}"
            yield component, diagnostic(code, component=component, what=what)
        elif spec.digest != digest:
            what = f"version {version}, but another specification"
            yield component, diagnostic(code, component=component, what=what)


def _drift(data: Mapping[str, JsonValue], engines: Mapping[str, str] | None, code: str) -> Iterator[Diagnostic]:
    pinned = {"osiris": data["osiris"], **data["engines"]}
    known = {"osiris": installed_version(DISTRIBUTION), **(engines or {})}
    for engine, version in sorted(pinned.items()):
        here = known.get(engine) or installed_version(engine)
        if here != version:
            yield diagnostic(code, engine=engine, found=here or "not installed", pinned=version)


def load_manifest(
    path: Path,
    registry: Registry,
    *,
    root: Path | None = None,
    asked: str = "",
    allow_drift: bool = False,
    allow_changes: bool = False,
) -> tuple[Manifest, list[Diagnostic]]:
    """Return the verified manifest of a file, and warnings; raises as `verify_manifest`."""
    if path.suffix in (".yaml", ".yml"):
        fail("CMP025", path=path)
    try:
        data = path.read_bytes()
    except OSError as error:
        _unreadable(path, error)
    return verify_manifest(
        data,
        registry,
        path=str(path),
        root=root,
        asked=asked,
        allow_drift=allow_drift,
        allow_changes=allow_changes,
    )


def _unreadable(path: Path, error: OSError) -> NoReturn:
    fail("CMP020", path=path, reason=error.strerror or type(error).__name__)
