"""Tries the declared connections: a worker connects, and says what works, how well, and with which rights."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.api.workspace import pipelines
from osiris.connections import as_written, parse_ref, resolve_ref
from osiris.document import escape
from osiris.durable import remove_folder
from osiris.errors import Diagnostic, OsirisError, diagnostic, has_errors
from osiris.model import ConnectionRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.connections import Connections
    from osiris.model import JsonValue
    from osiris.runner.protocol import Secrets

_MODES = {"read": "read", "extract": "read", "write": "write", "load": "write"}
"""Modes of steps, and what they are called here."""


@dataclass(slots=True)
class Examined:
    """One connection: the modes in which pipelines use it, what its doctor says, and what is wrong, with places.

    `health` is None where the connection does not work, or was not tried.
    """

    connection: str
    uses: Sequence[str]
    health: dict[str, JsonValue] | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def works(self) -> bool | None:
        """Whether it works; None if it was not tried."""
        return False if has_errors(self.diagnostics) else None if self.health is None else True

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data; of diagnostics the codes."""
        codes = [item.code for item in self.diagnostics]
        known = {"grade": None, "reasons": [], "facts": {}, "scripts": {}, "user": None, **(self.health or {})}
        uses = list(self.uses)
        return {"reference": self.connection, "works": self.works, "uses": uses, **known, "codes": codes}


def examine_connections(workspace: Workspace, names: Sequence[str] = ()) -> list[Examined]:
    """Try the named connections (`@family.alias`), all that are declared if none is named; none keeps others waiting.

    What is wrong with a connection stands in its answer. Raises CON002 to CON004 and CON006 for a name that means none.
    """
    declared = workspace.connections()
    asked = [resolve_ref(declared, parse_ref(name)) for name in names] or list(_all(declared))
    uses = _uses(workspace, declared)
    found = {str(ref): Examined(str(ref), sorted(uses[str(ref)])) for ref in asked}
    secrets = _resolved(workspace, declared, found)
    if secrets.plain:
        _ask(workspace, {name: found[name] for name in secrets.plain}, secrets)
    for each in found.values():
        each.diagnostics = [_placed(declared, each.connection, item) for item in each.diagnostics]
    return list(found.values())


def _all(declared: Connections) -> Iterator[ConnectionRef]:
    for family, aliases in sorted(declared.declared.items()):
        for alias in sorted(aliases):
            yield ConnectionRef(family, alias)


def _resolved(workspace: Workspace, declared: Connections, found: Mapping[str, Examined]) -> Secrets:
    """Return the fields of the connections that have all they need; what the others lack is put into their answers."""
    from osiris.runner.credentials import resolve_secrets
    from osiris.runner.protocol import Secrets

    whole = Secrets()
    for name, examined in found.items():
        written = as_written(declared, parse_ref(name))
        try:
            own = resolve_secrets(workspace.root, {name: written}, (), workspace.registry, workspace.environ)
        except OsirisError as error:
            examined.diagnostics += error.diagnostics
        else:
            whole.plain.update(own.plain)
            whole.secret.update(own.secret)
    return whole


def _ask(workspace: Workspace, asked: Mapping[str, Examined], secrets: Secrets) -> None:
    from osiris.runner.adapter import WorkerDied
    from osiris.runner.host.adapters import asked_worker
    from osiris.runner.host.describe import make_scratch
    from osiris.runner.limits import limits_of
    from osiris.runner.protocol import Job

    waiting = dict(asked)

    def take(event: dict[str, JsonValue]) -> None:
        examined = waiting.pop(event["connection"])
        examined.health = event["fields"] or None
        examined.diagnostics += map(Diagnostic.from_json, event["diagnostics"])

    scratch = make_scratch(workspace.project.scratch)
    job = Job(
        kind="doctor",
        root=str(workspace.root),
        scratch=str(scratch),
        artifacts=str(scratch / "artifacts"),
        limits=limits_of(workspace.config.get("run.memory"), workspace.config.get("run.threads")),
        steps=[],
        uses={name: list(examined.uses) for name, examined in asked.items()},
        paths=workspace.config.paths(),
    )
    try:
        with asked_worker(workspace.project, workspace.config) as link:
            end = link.ask(job, secrets, take)
        missed = [Diagnostic.from_json(item) for item in end["diagnostics"]]
    except WorkerDied as died:
        missed = [diagnostic("RUN001", status=died.status, during="doctor", hint="run the same command again")]
    finally:
        remove_folder(scratch)
    for examined in waiting.values():
        examined.diagnostics += missed


def _placed(declared: Connections, name: str, item: Diagnostic) -> Diagnostic:
    """Return a diagnostic with its place in the file of connections: that of a field, or of the connection."""
    ref = parse_ref(name)
    pointer = f"/connections/{escape(ref.family)}/{escape(ref.alias or '')}"
    at = declared.positions.get(item.location.pointer or pointer) or declared.positions.get(pointer)
    return replace(item, location=at) if at else item


def _uses(workspace: Workspace, declared: Connections) -> defaultdict[str, set[str]]:
    """Return the modes in which the steps of `pipelines/` use each connection; files that cannot be read have none."""
    from osiris.oml.parse import load_document

    uses = defaultdict[str, set[str]](set)
    for path in pipelines(workspace, strict=False):
        try:
            document = load_document(path, workspace.root)
        except OsirisError:
            continue
        steps = document.data.get("steps") if isinstance(document.data, dict) else None
        for name, mode in _used_by(workspace, declared, steps if isinstance(steps, list) else ()):
            uses[name].add(mode)
    return uses


def _used_by(workspace: Workspace, declared: Connections, steps: Iterable[JsonValue]) -> Iterator[tuple[str, str]]:
    for step in steps:
        mode = _MODES.get(str(step.get("mode"))) if isinstance(step, dict) else None
        wanted = mode and _wanted(workspace, step)
        if not mode or not wanted:
            continue
        with suppress(OsirisError):
            yield str(resolve_ref(declared, parse_ref(wanted))), mode


def _wanted(workspace: Workspace, step: Mapping[str, JsonValue]) -> str | None:
    """Return the connection that a step names, or its family's default where it must have one."""
    config = step.get("config")
    written = config.get("connection") if isinstance(config, dict) else None
    if written is not None:
        return written if isinstance(written, str) else None
    spec = workspace.registry.find(str(step.get("component")))
    return f"@{spec.family}" if spec and spec.connection == "required" else None
