"""An open project, the resolution of file and plan arguments, and a scrubber for its secrets."""

from __future__ import annotations

import json
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.config import NOTIFY_CHANNELS, PROVIDERS
from osiris.connections import as_written, environment_names, load_connections
from osiris.errors import OsirisError, fail, nearest
from osiris.model import ConnectionRef
from osiris.project import PIPELINE_ENDINGS
from osiris.secret import Scrubber, Secret, sounds_secret
from osiris.secret.references import without_value
from osiris.secret_stores import CREDENTIALS, fetch_secret, fetched_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.compiler.manifest import PlanFile
    from osiris.config import Config
    from osiris.connections import Connections
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.project import Project
    from osiris.registry import Registry
    from osiris.runner.protocol import Secrets
    from osiris.secret.references import FetchSecret


_HEX = frozenset("0123456789abcdef")
_LEAST = 6
"""Minimum length of a word of hexadecimal letters to be read as a fingerprint."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open project: its paths, settings, installed components, and the environment including `.env`.

    `profile` is the one requested; `config.profile` also considers that of the environment.
    """

    project: Project
    config: Config
    registry: Registry
    environ: Mapping[str, str]
    profile: str | None = None

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.project.root

    def connections(self) -> Connections:
        """Return the declared connections; fails with CON001 and the like."""
        return load_connections(self.project.connections_file)

    def references(self) -> list[ConnectionRef]:
        """Return the references of declared connections, sorted; fails as `connections`."""
        declared = self.connections().declared
        return [ConnectionRef(family, alias) for family in sorted(declared) for alias in sorted(declared[family])]

    def declared(self) -> dict[str, dict[str, JsonValue]]:
        """Return the fields of each declared connection as written, by reference; fails as `connections`."""
        connections = self.connections()
        return {str(ref): as_written(connections, ref) for ref in self.references()}

    def resolve(
        self,
        connections: Mapping[str, Mapping[str, JsonValue]],
        sensitive: Sequence[str] = (),
        fetch: FetchSecret = fetch_secret,
    ) -> Secrets:
        """Return the fields of connections with variables and secrets resolved; fails with CON005 and the like."""
        from osiris.runner.credentials import resolve_secrets

        return resolve_secrets(self.root, connections, sensitive, self.registry, self.environ, fetch)

    def secret_texts(self, connections: Mapping[str, Mapping[str, JsonValue]]) -> Iterator[str]:
        """Yield the secrets of connections that can be resolved, and all that were fetched from stores so far."""
        yield from fetched_texts()
        for reference, fields in connections.items():
            with suppress(OsirisError):
                secrets = self.resolve({reference: fields}, fetch=without_value).secret
                yield from (text for group in secrets.values() for text in group.values())


def find_file(workspace: Workspace, file: str | Path) -> Path:
    """Return an existing file: relative to the working directory, else to the project; fails with PRJ009."""
    match = next((p for p in (Path(file), workspace.root / file) if _kind(p)), None)
    if match is None:
        existing = [shown(workspace, path) for path in pipelines(workspace, strict=False)]
        same_name = (path for path in existing if Path(path).name == Path(file).name)
        near = next(same_name, None) or nearest(str(file), existing)
        fail("PRJ009", path=file, hint=f"did you mean {near}?" if near else None)
    if _kind(match) != "file":
        fail("OML026", path=file, reason="it is not a regular file")
    return match


def _kind(path: Path) -> str | None:
    """Return `file` or `other` for an existing path; None if it does not exist or is invalid."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return "file" if stat.S_ISREG(mode) else "other"


def pipelines(workspace: Workspace, *, strict: bool = True) -> list[Path]:
    """Return the files of pipelines/, sorted; if `strict`, fails with PRJ009 if there are none."""
    folder = workspace.project.pipelines
    files = sorted(path for path in folder.glob("**/*") if path.suffix in PIPELINE_ENDINGS and path.is_file())
    if strict and not files:
        fail("PRJ009", path=f"{folder.name}/*.yaml", hint="name a file")
    return files


def find_plan(workspace: Workspace, target: str) -> PlanFile | None:
    """Return the plan that a target names; None if it names something else (a pipeline, a session).

    Fails with CMP027 for a missing plan, and CMP049 for too few digits of a fingerprint.
    """
    from osiris.compiler.manifest import SHORT

    path = Path(target).absolute()
    if _looks_like_plan(workspace, path):
        file = path / "manifest.json" if path.is_dir() else Path(target)
        if not (_kind(file) or _kind(workspace.root / file)):
            fail("CMP027", what=f"{target}: the file does not exist")
        return _in_file(workspace, find_file(workspace, file))
    if not _may_be_fingerprint(target):
        return None
    if len(target) >= SHORT:
        return _with_fingerprint(workspace, target)
    if not (_kind(path) or _kind(workspace.root / target)):
        fail("CMP049", asked=target, count=len(target), needed=f"at least the first {SHORT} digits")
    return None


def _looks_like_plan(workspace: Workspace, path: Path) -> bool:
    is_built = path.is_relative_to(workspace.project.build)
    return is_built or path.suffix == ".json" or path.name in ("manifest.yaml", "manifest.yml")


def _may_be_fingerprint(target: str) -> bool:
    """Return whether a text looks like a fingerprint or its beginning; short words do not."""
    from osiris.compiler.manifest import LENGTH

    is_word = len(target) < _LEAST and target.isalpha()
    return 0 < len(target) <= LENGTH and _HEX.issuperset(target) and not is_word


def _in_file(workspace: Workspace, path: Path) -> PlanFile:
    """Return the plan of a file; in a build/ folder named by a fingerprint, it must have that fingerprint."""
    from osiris.compiler.manifest import PlanFile, find_manifests

    folders = find_manifests(workspace.project, fingerprint=path.absolute().parent.name)
    return next((file for file in folders if file.path.samefile(path)), PlanFile(path))


def confirmed_plan(workspace: Workspace, fingerprint: str) -> PlanFile:
    """Return the plan of a confirmed fingerprint, which must be complete.

    Fails with CMP049 for fewer digits, and CMP027 if there is no such plan.
    """
    from osiris.compiler.manifest import LENGTH

    if len(fingerprint) != LENGTH or not _HEX.issuperset(fingerprint):
        fail("CMP049", asked=fingerprint[:LENGTH], count=len(fingerprint), needed=f"all {LENGTH} digits")
    return _with_fingerprint(workspace, fingerprint)


def _with_fingerprint(workspace: Workspace, digits: str) -> PlanFile:
    """Return the plan below build/ whose fingerprint begins with these digits; fails with CMP027 if not unique."""
    from osiris.compiler.manifest import PlanFile, find_manifests

    files = find_manifests(workspace.project, fingerprint=digits)
    if not files:
        fail("CMP027", what=f"with fingerprint {digits}")
    noted = {_noted(file.path): file.path for file in files} if len(files) > 1 else {}
    fitting = {noted: path for noted, path in noted.items() if noted.startswith(digits)}
    if len(fitting) > 1:
        what = f"is unique for {digits}: {', '.join(sorted(fitting))} match"
        fail("CMP027", what=what, hint="give more digits")
    return PlanFile(next(iter(fitting.values()), files[0].path), digits)


def _noted(path: Path) -> str:
    """Return the unverified fingerprint in a manifest; "" if there is none."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    return str(data.get("fingerprint")) if isinstance(data, dict) else ""


def load_plan(
    workspace: Workspace, plan: PlanFile, *, allow_drift: bool = False, allow_changes: bool = False
) -> tuple[Manifest, list[Diagnostic]]:
    """Return the verified plan of a file, and warnings; raises IntegrityError as `verify_manifest`."""
    from osiris.compiler.manifest import read_manifest, verify_manifest

    return verify_manifest(
        read_manifest(plan.path),
        workspace.registry,
        path=str(plan.path),
        root=workspace.root,
        requested=plan.asked,
        allow_drift=allow_drift,
        allow_changes=allow_changes,
    )


def shown(workspace: Workspace, path: Path) -> str:
    """Return a path for display: relative to the project if it lies in it."""
    own = path.absolute()
    return own.relative_to(workspace.root).as_posix() if own.is_relative_to(workspace.root) else str(path)


def project_scrubber(workspace: Workspace) -> Scrubber:
    """Return a scrubber for secrets of connections that are set, keys of models and stores, and `notify` addresses.

    It also covers variables of connections and parameters whose names suggest a secret. No store is asked.
    """
    texts = {*_keys_of_models(workspace), *(workspace.environ[name] for name in CREDENTIALS & workspace.environ.keys())}
    with suppress(OsirisError):
        texts |= {*workspace.secret_texts(workspace.declared()), *_by_name(workspace)}
    return Scrubber(map(Secret, texts))


def _keys_of_models(workspace: Workspace) -> Iterator[str]:
    names = {variable for variables in PROVIDERS.values() for variable in variables}
    names |= {variable} if (variable := workspace.config.get("chat.api_key")) else set()
    names |= {name for key in NOTIFY_CHANNELS for name in workspace.config.get(f"notify.{key}") or ()}
    yield from (workspace.environ[name] for name in names if workspace.environ.get(name))


def _by_name(workspace: Workspace) -> Iterator[str]:
    """Yield the values of variables of connections and parameters whose names suggest a secret."""
    names = {*environment_names(dict(workspace.connections().declared))}
    names |= {name for name in workspace.environ if name.startswith("OSIRIS_PARAM_")}
    yield from (workspace.environ[name] for name in names if sounds_secret(name) and workspace.environ.get(name))
