"""All that is known of the run that a package is made of; everything else in this room only tells it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from osiris.aiop.changes import Change, changes_of
from osiris.aiop.ledger import Ledger, ledger_of
from osiris.aiop.rejects import Group, groups_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.recorded import RecordedRun, RecordedStep

    Event = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Facts:
    """A run, and what it is compared with.

    `base` is the last success (None if there is none or its session is gone, of which `base_id` still tells),
    `previous` run.json of the run before. `clean` masks the secrets of connections in a text.
    """

    run: RecordedRun
    base: RecordedRun | None
    base_id: str | None
    previous: Mapping[str, JsonValue] | None
    clean: Callable[[str], str]

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
        """The last event of each step that has ended, by step."""
        names = ("step_complete", "step_failed", "step_cancelled", "step_skipped")
        return {str(event["step"]): event for event in self.run.events if event["event"] in names}

    @cached_property
    def end(self) -> Event | None:
        """The last event of the run."""
        names = ("run_complete", "run_failed", "run_cancelled", "run_lost")
        return next((event for event in reversed(self.run.events) if event["event"] in names), None)

    @cached_property
    def errors(self) -> list[tuple[int, Diagnostic]]:
        """The errors of the run, each with its position in run.json, from 1."""
        numbered = enumerate(self.run.diagnostics, 1)
        return [(number, item) for number, item in numbered if item.severity == "error"]

    @cached_property
    def root(self) -> tuple[int, Diagnostic] | None:
        """The error that all else follows from, with its position; None if there is none.

        Of a run that somebody stopped or that is lost it is what is said of the run, else what the first step that
        failed was told to have failed by.
        """
        if self.run.status in ("cancelled", "lost"):
            return self.errors[-1] if self.errors else None
        failed = next((event for event in self.run.events if event["event"] == "step_failed"), None)
        if failed is None:
            return self.errors[0] if self.errors else None
        same = (pair for pair in self.errors if (pair[1].code, pair[1].message) == (failed["code"], failed["message"]))
        return next(same, self.errors[0] if self.errors else None)

    @cached_property
    def broken(self) -> list[RecordedStep]:
        """The steps that ended by the root, in the order of the plan."""
        if self.root is None or self.run.status == "complete":
            return []
        if self.run.status == "cancelled":
            return [step for step in self.run.steps if step.status in ("cancelled", "running")]
        code, message = self.root[1].code, self.root[1].message
        ends = ((step, self.ends.get(step.id)) for step in self.run.steps if step.status == "failed")
        return [step for step, end in ends if end and (end.get("code"), end.get("message")) == (code, message)]

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
