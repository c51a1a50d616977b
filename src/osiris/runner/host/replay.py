"""Repeats a session's run to compare: same plan, values and steps; targets are written only with `to_targets`.

File writers write to the artifacts of the replay's session. The rows of any other writer are digested as they would
have been written and then discarded: a database has no separate place for a second delivery.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from osiris.family_spec import find_family
from osiris.model import Manifest
from osiris.registry import load_registry
from osiris.runner.host.continuation import Start, not_selected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue
    from osiris.runner.protocol import Job

    Step = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Replay:
    """The session to repeat, and its values of `${run.id}` and `${run.started_at}`.

    With `to_targets`, writers write to the planned targets.
    """

    session: str
    run_id: str
    run_started_at: str
    to_targets: bool = False

    def start(self, manifest: Manifest, selected: list[str] | None) -> Start:
        """Return the start of the replay, which reuses nothing of an earlier run."""
        return Start(self.run_id, self.run_started_at, skip=not_selected(manifest, selected))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as in run.json."""
        return {"session": self.session, "run_id": self.run_id, "to_targets": self.to_targets}

    def needed(self, manifest: Manifest) -> Manifest:
        """Return the part of a plan whose connections, sources and targets the replay uses."""
        if self.to_targets:
            return manifest
        steps = [step for step in manifest.steps if step["mode"] != "write"]
        used = {step["connection"] for step in steps}
        connections = {name: fields for name, fields in manifest.data["connections"].items() if name in used}
        return Manifest({**manifest.data, "steps": steps, "connections": connections})

    def job(self, job: Job, session: str, artifacts: str) -> Job:
        """Return the job to replay; `artifacts` is the session's artifacts folder, relative to the project."""
        if self.to_targets:
            return replace(job, delivered_as=session)
        files, discarded = _writers(job.steps)
        places = {_place(step): f"{artifacts}/{step['id']}/{_name(step['config']['path'])}" for step in files}
        return replace(job, steps=[_moved(step, places) for step in job.steps], discard=discarded)


def _writers(steps: list[Step]) -> tuple[list[Step], list[str]]:
    """Return the writers whose file can be redirected, and the ids of all others."""
    registry = load_registry()
    writers = [step for step in steps if step["mode"] == "write"]
    in_files = (step for step in writers if find_family(registry.get(step["component"]).family).local_files)
    files = [step for step in in_files if isinstance(step["config"].get("path"), str)]
    return files, [step["id"] for step in writers if step not in files]


def _place(step: Mapping[str, JsonValue]) -> tuple[JsonValue, JsonValue]:
    return step["connection"], step["config"].get("path")


def _name(path: str) -> str:
    """Return the last part of a path; a folder keeps its trailing slash."""
    return f"{PurePosixPath(path).name}{'/' if path.endswith('/') else ''}"


def _moved(step: Step, places: Mapping[tuple[JsonValue, JsonValue], str]) -> Step:
    """Return a step with its file redirected, if it writes a redirected file or reads one."""
    path = places.get(_place(step))
    if path is None:
        return step
    return {**step, "connection": None, "config": {**step["config"], "path": path}}
