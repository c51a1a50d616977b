"""One reading of a run: what failed first, what that blocked, what changed, and the last success to compare with.

Report, package, console, agents and lineage events all tell what stands here; none of them interprets a session itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from osiris.history.base import base_of
from osiris.history.causes import Link, Problem, broken_by, chain_of, first_cause, problems_of
from osiris.history.changes import Change, changes_of
from osiris.history.ledger import Ledger, ledger_of
from osiris.history.record import conversation_of, load_outline, load_run
from osiris.history.rejects import Group, groups_of
from osiris.history.stale import Stale, newest_manifests, not_renewed, stale_of
from osiris.session import ENDS, read_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue, Manifest
    from osiris.project import Project

    Event = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Reading:
    """A run, and what it is compared with.

    `base` is the last success (None if there is none or its session is gone, of which `base_id` still tells),
    `previous` run.json of the run before. `clean` masks the secrets of connections in a text.
    `conversation` is the run.json of the one in which the pipeline was made. `manifests` gives the newest plan of each
    pipeline of the project, which alone is not of the session.
    """

    run: RecordedRun
    base: RecordedRun | None
    base_id: str | None
    previous: Mapping[str, JsonValue] | None
    clean: Callable[[str], str]
    conversation: Mapping[str, JsonValue] | None = None
    manifests: Callable[[], list[Manifest]] = list

    @cached_property
    def ledger(self) -> Ledger:
        """The rows of each step."""
        return ledger_of(self.run)

    @cached_property
    def base_ledger(self) -> Ledger:
        """The rows of each step of the last success."""
        return ledger_of(self.base) if self.base else {}

    @cached_property
    def groups(self) -> list[Group]:
        """The rows that were set aside."""
        return groups_of(self.run, self.clean)

    @cached_property
    def changes(self) -> list[Change]:
        """What is different from the last success."""
        return changes_of(self.run, self.base)

    @cached_property
    def ends(self) -> dict[str, Event]:
        """The last event of each step that has ended, by step, in the order of time."""
        names = ("step_complete", "step_failed", "step_cancelled", "step_skipped")
        return {str(event["step"]): event for event in self.run.events if event["event"] in names}

    @cached_property
    def end(self) -> Event | None:
        """The last event of the run."""
        return next((event for event in reversed(self.run.events) if event["event"] in ENDS), None)

    @cached_property
    def problems(self) -> list[Problem]:
        """All diagnostics of the run, each with the step that it is of."""
        return problems_of(self.run, self.ends)

    @property
    def errors(self) -> list[Problem]:
        """The errors of the run."""
        return [each for each in self.problems if each.item.severity == "error"]

    @cached_property
    def root(self) -> Problem | None:
        """The error that all else follows from (`first_cause`); None if there is none."""
        found = first_cause(self.run.summary)
        return self.problems[found[0] - 1] if found else None

    @cached_property
    def broken(self) -> list[RecordedStep]:
        """The steps that ended by the root, in the order of the plan."""
        return broken_by(self.root, self.run, self.ends) if self.root else []

    @cached_property
    def chain(self) -> list[Link]:
        """The steps that failed, those that were held up, and those that were stopped."""
        return chain_of(self.run, self.ends)

    @property
    def blocked(self) -> list[str]:
        """The steps that did not finish because of what is broken."""
        broken = {step.id for step in self.broken}
        return [link.step for link in self.chain if link.state != "failed" and link.step not in broken]

    @cached_property
    def stale(self) -> list[Stale]:
        """What other pipelines make from targets that the run did not renew."""
        return stale_of(self.run, self.manifests()) if not_renewed(self.run) else []

    @property
    def last_success(self) -> str | None:
        """The session of the last success before this run; None if there is none."""
        return self.base_id

    @property
    def replays(self) -> Mapping[str, JsonValue] | None:
        """What a replay repeats; None for a run of its own."""
        found: Mapping[str, JsonValue] | None = self.run.summary.get("replays")
        return found

    @property
    def path(self) -> str:
        """The session's folder, relative to the project."""
        return f"logs/{self.run.id}"

    def plan_order(self, name: str) -> int:
        """Return where a step stands in the plan."""
        return self._order[name]

    @cached_property
    def _order(self) -> dict[str, int]:
        return {step.id: number for number, step in enumerate(self.run.steps)}


def read_run(
    project: Project,
    session: str,
    clean: Callable[[str], str] = str,
    *,
    most_told: int | None = None,
    compare: bool = True,
) -> Reading:
    """Return the reading of a session; FileNotFoundError if it has no readable run.json.

    It is compared with the base that it pinned when it started, unless `compare` is off. `most_told` is as for
    `load_run`.
    """
    run = load_run(project.logs / session, most_told)
    pinned = run.summary.get("base") or base_of(project, run.pipeline, run.id)
    base = str(pinned["success"]) if pinned["success"] and compare else None
    previous = read_summary(project.logs / str(pinned["previous"])) if pinned["previous"] else None
    earlier = _outline(project.logs / base) if base else None
    talk = conversation_of(project, run)
    return Reading(run, earlier, base, previous, clean, talk, lambda: newest_manifests(project))


def read_outline(
    project: Project, session: str, clean: Callable[[str], str] = str, manifests: Callable[[], list[Manifest]] = list
) -> Reading:
    """Return the reading of a session without its events, which is quick; fails as `read_run`."""
    run = load_outline(project.logs / session)
    base = (run.summary.get("base") or base_of(project, run.pipeline, run.id))["success"]
    earlier = _outline(project.logs / str(base)) if base else None
    return Reading(run, earlier, str(base) if base else None, None, clean, manifests=manifests)


def _outline(folder: Path) -> RecordedRun | None:
    """Return a run to compare with; None if it is gone or damaged, which is no reason to tell nothing of this one."""
    with suppress(OSError, LookupError, TypeError, ValueError):
        return load_outline(folder)
    return None
