"""Interprets a run: first cause, blocked steps, changes, and the last success to compare with."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare.lineage import read_plan, trace_impact
from osiris.history.changes import DRIFT, Change, changes_of
from osiris.history.failures import clip, first_cause, step_of
from osiris.history.record import STEP_ENDINGS, conversation_of, load_run
from osiris.history.rejects import Group, groups_of
from osiris.history.row_counts import RowCounts, base_of, row_counts_of
from osiris.session.stored import read_summary
from osiris.session.writing import ENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from osiris.compare.lineage import FlowingPlan
    from osiris.errors import Diagnostic
    from osiris.history.changes import Change
    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue, Manifest
    from osiris.project import Project

    Event = Mapping[str, JsonValue]

_NO_BASE = "no earlier successful run to compare with"
_NOTHING_NEW = "nothing changed; sources are read again"
_RESUMED = "the run that is resumed had not finished"

_MAX_STALE = 5
"""Maximum number of targets named in a sentence."""

_LONGEST_INTENT, _EXCERPT = 500, 160


class Problem(NamedTuple):
    """A diagnostic of a run: its position in run.json, from 1, and its step; None if it is about the run."""

    number: int
    item: Diagnostic
    step: str | None


class Link(NamedTuple):
    """One step in the chain from the first cause to the steps it blocked."""

    step: str
    state: str
    because: str


@dataclass(frozen=True)
class Reading:
    """A run, and what it is compared with.

    `base` is the last success (None if there is none or its session is missing; `base_id` is then still its id),
    `previous` the run.json of the run before. `clean` masks secrets of connections in a text. `conversation` is the
    run.json of the conversation that created the pipeline. `manifests` returns the newest plan of each pipeline, the
    only part that is read from the project rather than from a session.
    """

    run: RecordedRun
    base: RecordedRun | None
    base_id: str | None
    previous: Mapping[str, JsonValue] | None
    clean: Callable[[str], str]
    conversation: Mapping[str, JsonValue] | None = None
    manifests: Callable[[], list[Manifest]] = list

    @cached_property
    def row_counts(self) -> RowCounts:
        """Row counts by step."""
        return row_counts_of(self.run)

    @cached_property
    def base_row_counts(self) -> RowCounts:
        """Row counts by step of the last success."""
        return row_counts_of(self.base) if self.base else {}

    @cached_property
    def groups(self) -> list[Group]:
        """The groups of rejected rows."""
        return groups_of(self.run, self.clean)

    @cached_property
    def changes(self) -> list[Change]:
        """The changes since the last success."""
        return changes_of(self.run, self.base)

    @cached_property
    def ends(self) -> dict[str, Event]:
        """The last event of each ended step, by step, in chronological order."""
        return {str(event["step"]): event for event in self.run.events if event["event"] in STEP_ENDINGS}

    @cached_property
    def end(self) -> Event | None:
        """The last event of the run."""
        return next((event for event in reversed(self.run.events) if event["event"] in ENDS), None)

    @cached_property
    def problems(self) -> list[Problem]:
        """All diagnostics of the run, each with its step: as recorded, as named by the message, or as ended by it."""
        recorded = (each.get("step") for each in self.run.summary.get("diagnostics") or ())
        problems = []
        for number, (item, step) in enumerate(zip(self.run.diagnostics, recorded, strict=True), 1):
            step_id = step or step_of(item)
            if step_id not in self.run.summary["steps"]:
                step_id = next(self._ended_by(item), None)
            problems.append(Problem(number, item, step_id))
        return problems

    @property
    def errors(self) -> list[Problem]:
        """The errors of the run."""
        return [each for each in self.problems if each.item.severity == "error"]

    @cached_property
    def root(self) -> Problem | None:
        """The first cause (`first_cause`); None if there is none."""
        cause = first_cause(self.run.summary)
        return self.problems[cause[0] - 1] if cause else None

    @cached_property
    def broken(self) -> list[RecordedStep]:
        """The steps ended by the first cause, in plan order."""
        if self.root is None:
            return []
        if self.run.status == "cancelled":
            return [step for step in self.run.steps if step.status in ("cancelled", "running")]
        ended = set(self._ended_by(self.root.item))
        return [step for step in self.run.steps if step.status == "failed" and step.id in ended]

    def _ended_by(self, item: Diagnostic) -> Iterator[str]:
        """Return the steps whose end has the code and message of a diagnostic."""
        cause = (item.code, item.message)
        return (step for step, end in self.ends.items() if (end.get("code"), end.get("message")) == cause)

    @cached_property
    def chain(self) -> list[Link]:
        """The failed steps, those that never began, and those that were stopped, each in plan order.

        Where no step failed, the stopped ones come first, as they blocked the others.
        """
        if self.run.status in ("complete", "running"):
            return []
        failed, stopped = list[Link](), list[Link]()
        for step in self.run.steps:
            end: Event = self.ends.get(step.id, {})
            if step.status == "failed":
                failed.append(Link(step.id, "failed", str(end.get("code", ""))))
            elif step.status in ("cancelled", "running"):
                stopped.append(Link(step.id, "cancelled", str(end.get("because") or end.get("code") or "cancelled")))
        blocked = _blocked_by(self.run, {link.step for link in (*failed, *stopped)})
        return [*failed, *blocked, *stopped] if failed else [*stopped, *blocked]

    @property
    def blocked(self) -> list[str]:
        """The steps that did not finish because of broken ones."""
        broken = {step.id for step in self.broken}
        return [link.step for link in self.chain if link.state != "failed" and link.step not in broken]

    @cached_property
    def stale(self) -> list[Stale]:
        """Targets of other pipelines, made from targets that the run did not update."""
        return stale_of(self.run, self.manifests()) if not_renewed(self.run) else []

    @property
    def replays(self) -> Mapping[str, JsonValue] | None:
        """What a replay repeats; None for an ordinary run."""
        replay: Mapping[str, JsonValue] | None = self.run.summary.get("replays")
        return replay

    @property
    def path(self) -> str:
        """The session's folder, relative to the project."""
        return f"logs/{self.run.id}"


def _blocked_by(run: RecordedRun, broken: set[str]) -> list[Link]:
    blocked = []
    for step in (each for each in run.steps if each.status == "not_run"):
        above = next((name for name in step.needs if name in broken), None)
        if above:
            broken.add(step.id)
        blocked.append(Link(step.id, "not_run", above or "not reached"))
    return blocked


def read_run(
    project: Project,
    session: str,
    clean: Callable[[str], str] = str,
    *,
    max_events: int | None = None,
    compare: bool = True,
    outline: bool = False,
) -> Reading:
    """Return the reading of a session; raises FileNotFoundError if it has no readable run.json.

    It is compared with the base recorded at its start, unless `compare` is off. `max_events` and `outline` are
    those of `load_run`; an outline has neither the previous run nor a conversation.
    """
    run = load_run(project.logs / session, max_events, outline=outline)
    pinned = run.summary.get("base") or base_of(project, run.pipeline, run.id)
    base = str(pinned["success"]) if pinned["success"] and compare else None
    previous = None if outline or not pinned["previous"] else read_summary(project.logs / str(pinned["previous"]))
    earlier = None
    # A missing or damaged base must not prevent the reading of this run.
    with suppress(OSError, LookupError, TypeError, ValueError):
        earlier = load_run(project.logs / base, outline=True) if base else None
    conversation = None if outline else conversation_of(project, run)
    return Reading(run, earlier, base, previous, clean, conversation, lambda: newest_manifests(project))


def why_of_steps(reading: Reading) -> dict[str, str]:
    """Return why each step ran or did not, in plan order."""
    not_run, unchanged = _not_run(reading), _unchanged(reading)
    changed: dict[str, str] = {}
    for change in reading.changes:
        for name in _steps_of(change, reading):
            changed.setdefault(name, _change_text(change))
    why: dict[str, str] = {}
    for step in reading.run.steps:
        above = next((name for name in step.needs if name in changed), None)
        if above:
            changed.setdefault(step.id, f"an input changed: step '{above}'")
        reason = changed.get(step.id, unchanged) if reading.base else unchanged
        ended = not_run.get(step.id)
        why[step.id] = f"{ended}; {reason}" if step.error and step.id in changed else ended or reason
    return why


def _unchanged(reading: Reading) -> str:
    """Return why a step ran of which nothing is known to have changed."""
    if reading.run.summary.get("continues"):
        return _RESUMED
    return _NOTHING_NEW if reading.base else _NO_BASE


def _not_run(reading: Reading) -> dict[str, str]:
    """Return why steps did not run, or failed; for drift with the changes of the source."""
    texts_by_step: dict[str, str] = {}
    for step in reading.run.steps:
        if step.reason:
            texts_by_step[step.id] = f"skipped: {step.reason}"
        elif step.status == "not_run":
            texts_by_step[step.id] = "not started yet" if reading.run.status == "running" else "not reached"
        elif step.error and step.error.code == DRIFT:
            texts = [change.text for change in reading.changes if change.step == step.id]
            texts_by_step[step.id] = f"its source changed: {'; '.join(texts)}" if texts else "its source changed"
        elif step.error:
            texts_by_step[step.id] = f"failed with {step.error.code}"
        elif step.status == "cancelled":
            because = reading.ends.get(step.id, {}).get("because")
            texts_by_step[step.id] = f"cancelled because of {because}" if because else "cancelled"
    return texts_by_step


def _steps_of(change: Change, reading: Reading) -> list[str]:
    """Return the steps affected by a change; for a connection, those that use it."""
    root, _, name = change.path.partition("/")
    if root == "connections":
        return [step.id for step in reading.run.steps if step.plan.get("connection") == name.partition("/")[0]]
    return [change.step] if change.step else []


def _change_text(change: Change) -> str:
    root, _, rest = change.path.partition("/")
    if root == "sources":
        return "its source changed"
    if root == "connections":
        return f"fields of {rest.partition('/')[0]} changed"
    leaf = rest.partition("/")[2]
    return f"{leaf.partition('/')[0]} changed: {change.text.removeprefix(f'steps/{change.step}/')}" if leaf else "new"


class Stale(NamedTuple):
    """A stale target: the pipeline and step that write it, and its path or `@family.alias.table`."""

    pipeline: str
    step: str
    target: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as JSON."""
        return self._asdict()


def newest_manifests(project: Project) -> list[Manifest]:
    """Return the newest saved plan of each pipeline; unreadable ones are skipped."""
    from osiris.compiler.manifest import find_manifests, newest_manifest, read_shaped

    names = sorted({file.path.parent.parent.name for file in find_manifests(project)})
    files = (newest_manifest(project, name) for name in names)
    return [manifest for file in files if file and (manifest := read_shaped(file.path))]


def not_renewed(run: RecordedRun) -> list[str]:
    """Return the write steps that did not update their targets; empty for a running run or a replay."""
    if run.status == "running" or run.summary.get("replays"):
        return []
    return [step.id for step in run.steps if step.mode == "write" and not (step.output or step.status == "complete")]


def stale_of(run: RecordedRun, manifests: Iterable[Manifest]) -> list[Stale]:
    """Return the targets that other pipelines derive, directly or not, from targets that a run did not update."""
    others = {manifest.name: manifest for manifest in manifests}
    own = run.plan or others.get(run.pipeline)
    if own is None:
        return []
    plans: dict[str, FlowingPlan] = {}
    for name, manifest in {**others, own.name: own}.items():
        with suppress(LookupError, TypeError, ValueError, AttributeError):  # skip unreadable plans
            plans[name] = read_plan(manifest)
    writes = plans[own.name].writes if own.name in plans else {}
    stale: dict[Stale, None] = {}
    for label in dict.fromkeys(writes[step] for step in not_renewed(run) if step in writes):
        stale |= dict.fromkeys(_made_from(label, list(plans.values()), own.name))
    return list(stale)


def _made_from(label: str, plans: list[FlowingPlan], own: str) -> Iterator[Stale]:
    """Yield the targets that other pipelines derive from a target."""
    for reached in trace_impact(plans, label, None):
        if reached.name != own:
            yield from (Stale(reached.name, step.step, step.target) for step in reached.steps if step.target)


def stale_text(stale: list[Stale]) -> str:
    """Return the sentence that names stale targets."""
    names = ", ".join(f"{each.target} ({each.pipeline})" for each in stale[:_MAX_STALE])
    more = f" and {len(stale) - _MAX_STALE:,} more" if len(stale) > _MAX_STALE else ""
    return f"Stale, because other pipelines make them from targets that this run did not update: {names}{more}."


def intent_of(reading: Reading) -> dict[str, JsonValue]:
    """Return the intent of a run's pipeline, as in narrative.intent: `text`, `known` and `provenance`.

    It is known if it was written down, else inferred from the steps. The provenance lists the sources with their trust,
    the one used first.
    """
    about: Mapping[str, JsonValue] = reading.run.plan.data["pipeline"] if reading.run.plan else {}
    title = reading.conversation.get("title") if reading.conversation else None
    intent = (about.get("metadata") or {}).get("intent")
    sources = []
    if isinstance(intent, str) and intent.strip():
        sources.append(("metadata.intent", "high", intent))
    if about.get("description"):
        sources.append(("description", "high", str(about["description"])))
    if title:
        sources.append(("conversation", "medium", reading.clean(str(title))))
    is_known = bool(sources)
    sources = sources or [("inferred", "low", _inferred(reading))]
    provenance = [{"source": name, "trust": trust, "excerpt": clip(text, _EXCERPT)} for name, trust, text in sources]
    return {"text": clip(sources[0][2], _LONGEST_INTENT), "known": is_known, "provenance": provenance}


def _inferred(reading: Reading) -> str:
    steps = reading.run.steps
    ends = {mode: sorted({step.component for step in steps if step.mode == mode}) for mode in ("read", "write")}
    read, write = (", ".join(names) or "nowhere" for names in ends.values())
    return f"Moves rows from {read} to {write}."
