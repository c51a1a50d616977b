"""Conversations from outside: start, resume or replay one."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from os.path import relpath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from osiris.api import project_scrubber
from osiris.chat.environment import Environment, Waiting
from osiris.chat.journal import AuditLog, Journal, W, request_digest
from osiris.chat.provider_api import Options, Usage
from osiris.chat.replies import meaning
from osiris.chat.store import Conversation, open_store
from osiris.config import RULES
from osiris.errors import Diagnostic, OsirisError, fail
from osiris.files import is_outside, resolve_path
from osiris.session.stored import now_text, read_summary
from osiris.session.writing import begin_conversation, continue_conversation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.chat.agent import Agent
    from osiris.chat.environment import UserInterface
    from osiris.chat.guide.environment import Screen
    from osiris.chat.guide.flow import Guide
    from osiris.chat.provider_api import Model
    from osiris.chat.store import Entry, Store
    from osiris.model import JsonValue
    from osiris.session.writing import Session

GUIDE = "guide"
"""Provider name of conversations that the guide leads."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """State of a conversation: its run.json, and notes on its record."""

    summary: dict[str, JsonValue]
    notes: tuple[Diagnostic, ...] = ()

    @property
    def question(self) -> dict[str, JsonValue] | None:
        """Return the question that waits for an answer: about, text, choices; None if there is none."""
        question: dict[str, JsonValue] | None = self.summary["question"]
        return question


def begin(workspace: Workspace, options: Options, ui: UserInterface) -> Outcome:
    """Run a conversation until the person ends it or input ends; errors of its environment propagate.

    Fails with CHT031 if pipelines cannot be saved in the chosen folder, and with CHT032 for input that is too long.
    """
    from osiris.chat.providers import open_model

    _check_folder(workspace, options)
    model = open_model(workspace, options)
    with open_store(workspace.project) as store:
        return _run_agent(workspace, _start(workspace, store, options), options, model, ui)


def resume(workspace: Workspace, name: str | None, options: Options, ui: UserInterface) -> Outcome:
    """Resume a conversation; without a name, the newest one that waits.

    Given options override the stored ones, except `fast` and `pro_mode`, which are part of the record. Fails with
    CHT021, CHT023, CHT024, with CHT030 if the person has ended it, CHT052 if the guide led it, CHT066 if an earlier
    version did, and as `begin` does.
    """
    from osiris.chat.providers import open_model

    with open_store(workspace.project) as store:
        conversation = _find_waiting(workspace, store, name, is_guided=False)
        entries = store.entries(conversation.id)
        if _is_earlier(entries):
            fail("CHT066", conversation=conversation.id)
        chosen = _merge_options(workspace, Options(**conversation.options), options)
        _check_folder(workspace, chosen)
        model = open_model(workspace, chosen, _usage_so_far(entries))
        active = _continue(workspace, store, replace(conversation, options=asdict(chosen)), ui)
        store.begin(active.conversation)
        return _run_agent(workspace, active, chosen, model, ui)


def begin_guided(
    workspace: Workspace, ui: UserInterface, screen: Screen, out: str, edits: Path | None = None
) -> Outcome:
    """Run the guide until a plan is accepted or input ends; fails as `begin` does.

    With `edits` it starts from that pipeline and saves to the same file; fails with CHT056 if the guide has no choices
    for part of it.
    """
    options = Options(provider=GUIDE, out=out)
    if edits:
        path = relpath(edits, workspace.root)
        options = replace(options, out=str(PurePath(path).parent), edits=path)
    _check_folder(workspace, options)
    with open_store(workspace.project) as store:
        return _run_guide(workspace, _start(workspace, store, options), (ui, screen))


def resume_guided(workspace: Workspace, name: str | None, ui: UserInterface, screen: Screen) -> Outcome:
    """Resume a conversation of the guide; without a name, the newest one that waits. Fails as `resume` does."""
    with open_store(workspace.project) as store:
        conversation = _find_waiting(workspace, store, name, is_guided=True)
        return _run_guide(workspace, _continue(workspace, store, conversation, ui), (ui, screen))


@dataclass(frozen=True, slots=True)
class _Active:
    """A running conversation with its record."""

    store: Store
    session: Session
    conversation: Conversation
    record: AuditLog
    started: str
    """Event that records how it started."""

    def journal(self, environment: W) -> Journal[W]:
        """Return an environment that records here."""
        return Journal((environment, self.record), self.store, self.session.id)


def _start(workspace: Workspace, store: Store, options: Options) -> _Active:
    session = begin_conversation(workspace.project, partial(project_scrubber, workspace))
    conversation = Conversation(session.id, now_text(), asdict(options))
    store.begin(conversation)
    record = AuditLog(session, conversation)
    record.save()
    return _Active(store, session, conversation, record, "chat_start")


def _continue(workspace: Workspace, store: Store, conversation: Conversation, ui: UserInterface) -> _Active:
    session = continue_conversation(workspace.project, conversation.id, partial(project_scrubber, workspace))
    ui.show("chat_resumed", {"conversation": conversation.id})
    return _Active(store, session, conversation, AuditLog(session, conversation), "chat_resumed")


def _run_agent(workspace: Workspace, active: _Active, options: Options, model: Model, ui: UserInterface) -> Outcome:
    """Run a conversation in which a model proposes."""
    from osiris.chat.agent import Agent

    active.record.event(active.started, options=active.conversation.options, model=model.name)
    samples = options.samples or workspace.config.get("chat.samples")
    out = _output_folder(workspace, options)
    environment = Environment(workspace, model, ui, active.session.id, samples=samples, out=out)
    return _talk(active, Agent(active.journal(environment), fast=options.fast))


def _run_guide(workspace: Workspace, active: _Active, person: tuple[UserInterface, Screen]) -> Outcome:
    """Run a conversation in which the guide asks."""
    from osiris.chat.guide.environment import GuideEnvironment
    from osiris.chat.guide.flow import Guide

    out, path = str(active.conversation.options["out"]), active.conversation.options.get("edits")
    edits = workspace.root / str(path) if path else None
    with closing(GuideEnvironment(workspace, person, active.session.id, out, edits)) as environment:
        return _talk(active, Guide(active.journal(environment)))


def _find_waiting(workspace: Workspace, store: Store, name: str | None, *, is_guided: bool) -> Conversation:
    """Return a conversation that can be resumed; without a name, the newest one that waits.

    Fails with CHT021, with CHT030 for one that has ended, and with CHT052 for one of the other kind.
    """
    conversation = store.find(name) if name else _newest_waiting(workspace, store, is_guided=is_guided)
    entries = store.entries(conversation.id)
    if entries and entries[-1].kind == "hear" and meaning(entries[-1].result) == "quit":
        fail("CHT030", conversation=conversation.id)
    if _is_guided(conversation) != is_guided:
        command = "chat" if is_guided else "new"
        fail("CHT052", conversation=conversation.id, command=f"osiris {command} --resume {conversation.id}")
    return conversation


def _is_guided(conversation: Conversation) -> bool:
    return bool(conversation.options["provider"] == GUIDE)


def _newest_waiting(workspace: Workspace, store: Store, *, is_guided: bool) -> Conversation:
    """Return the newest conversation that has neither ended nor completed; fails with CHT021."""
    for each in store.conversations():
        summary = read_summary(workspace.project.logs / each.id)
        if _is_guided(each) == is_guided and (summary is None or summary["status"] == "waiting"):
            return each
    return fail(
        "CHT021", wanted="that waits", hint="give the id of one ('osiris logs list' shows them), or start a new one"
    )


def _merge_options(workspace: Workspace, stored: Options, overrides: Options) -> Options:
    """Return the stored options with overrides; a stored model is dropped when the provider changes."""
    from osiris.chat.providers.settings import provider_name

    old_provider, new_provider = (
        provider_name(workspace.config, each.provider or stored.provider) for each in (stored, overrides)
    )
    merged = {key: getattr(overrides, key) or getattr(stored, key) for key in ("provider", "samples", "out")}
    return replace(stored, model=overrides.model or (stored.model if new_provider == old_provider else None), **merged)


def _check_folder(workspace: Workspace, options: Options) -> None:
    """Fail with CHT031 unless pipelines may be saved in the chosen folder, links resolved."""
    folder = _output_folder(workspace, options)
    path = resolve_path(workspace.root, folder)
    folders = (workspace.project.pipelines, workspace.project.output)
    allowed = next((each for each in folders if path.is_relative_to(each)), None)
    if allowed is None or allowed.is_symlink() or is_outside(allowed, path):
        fail("CHT031", folder=folder)


def _output_folder(workspace: Workspace, options: Options) -> str:
    return str(options.out or workspace.config.get("chat.output") or workspace.project.output.name)


@dataclass(frozen=True, slots=True)
class Replayed:
    """The last OML of a replayed conversation, and notes."""

    id: str
    oml: str
    notes: tuple[Diagnostic, ...] = ()


def replay(workspace: Workspace, name: str) -> Replayed:
    """Return the last OML of a conversation, recomputed from its record; nothing is asked, run or written.

    The result is byte-identical: each check is recorded with the SHA-256 of its text. For conversations of an earlier
    version the text is read from the record. Fails with CHT021, with CHT024 if the text differs, with CHT025 if the
    conversation has no OML.
    """
    with open_store(workspace.project) as store:
        conversation = store.find(name)
        entries = store.entries(conversation.id)
        earlier = _is_earlier(entries)
        oml = _recorded_oml(entries) if earlier else _replayed_oml(store, conversation)
        if oml is None:
            fail("CHT025", conversation=conversation.id)
        return Replayed(conversation.id, oml, tuple(store.notes))


def _is_earlier(entries: Iterable[Entry]) -> bool:
    """Tell whether a conversation was recorded by an earlier version: by its rules, or with proposals in its format."""
    answers = [(entry.result["model"], entry.result["value"]) for entry in entries if entry.kind == "ask"]
    return any(model == RULES or (isinstance(value, dict) and "target" in value) for model, value in answers)


def _recorded_oml(entries: Iterable[Entry]) -> str | None:
    """Return the last OML that was checked, as recorded; None if there is none. Fails with CHT024 as `replay` does."""
    checks = [(number, entry) for number, entry in enumerate(entries, 1) if entry.kind == "check"]
    if not checks:
        return None
    number, last = checks[-1]
    oml = str(last.result["oml"])
    if last.asked != request_digest("check", [oml]):
        fail("CHT024", number=number, recorded="check", asked="check")
    return oml


def _replayed_oml(store: Store, conversation: Conversation) -> str | None:
    """Return the last OML that the agent or guide emits from the record alone."""
    from osiris.chat.agent import Agent
    from osiris.chat.guide.flow import Guide

    journal: Journal[Any] = Journal(None, store, conversation.id)
    with suppress(Waiting):
        if _is_guided(conversation):
            Guide(journal).talk()
        else:
            Agent(journal, fast=conversation.options["fast"]).talk()
    return journal.oml


def _usage_so_far(entries: Iterable[Entry]) -> Usage:
    """Return what answers have used so far."""
    used = [entry.result["usage"] for entry in entries if entry.kind == "ask"]
    counts = {key: sum(each[key] for each in used) for key in ("input_tokens", "output_tokens", "requests")}
    return Usage(**counts, cost=sum(each["cost"] or 0.0 for each in used))


def _talk(active: _Active, talker: Agent | Guide) -> Outcome:
    """Run the conversation, and record how far it got, however it ends."""
    record, has_quit = active.record, False
    with active.session:
        try:
            talker.talk()
            has_quit = True
        except Waiting:
            pass
        except KeyboardInterrupt:
            record.event("chat_interrupted")
            raise
        except OsirisError as error:
            record.event("chat_error", diagnostics=[each.to_json() for each in error.diagnostics])
            raise
        finally:
            record.save(ended_at=now_text(), has_quit=has_quit)
            record.event("chat_end", status=record.summary["status"], state=record.summary["state"])
    return Outcome(record.summary, tuple(active.store.notes))
