"""Conversations from outside: begin one, take one up again, replay one."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from os.path import relpath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from osiris.api import project_scrubber
from osiris.chat.environment import Environment, Waiting
from osiris.chat.journal import AuditLog, Journal, W, asked_digest
from osiris.chat.provider_api import Options, Usage
from osiris.chat.providers.settings import provider_name
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
"""Provider of conversations that the guide leads."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a conversation stands: its run.json, and notes on its record."""

    summary: dict[str, JsonValue]
    notes: tuple[Diagnostic, ...] = ()

    @property
    def question(self) -> dict[str, JsonValue] | None:
        """Return the question that waits for an answer: about, text, choices; None if there is none."""
        question: dict[str, JsonValue] | None = self.summary["question"]
        return question


def begin(workspace: Workspace, options: Options, ui: UserInterface) -> Outcome:
    """Hold a conversation until the person ends it, or has nothing to say; fails as what it asks for fails.

    Fails with CHT031 if pipelines cannot be saved where the options say, and with CHT032 for too many words.
    """
    from osiris.chat.providers import open_model

    _check_place(workspace, options)
    model = open_model(workspace, options)
    with open_store(workspace.project) as store:
        return _proposed(workspace, _begun(workspace, store, options), options, model, ui)


def resume(workspace: Workspace, name: str | None, options: Options, ui: UserInterface) -> Outcome:
    """Take up a conversation, without a name the newest that waits, and go on with it.

    Options that are given count from now on, but for `fast` and `pro_mode`: they are part of what was said. Fails with
    CHT021, CHT023, CHT024, with CHT030 if the person has ended it, CHT052 if the guide held it, CHT066 if an earlier
    version did, and as `begin` does.
    """
    from osiris.chat.providers import open_model

    with open_store(workspace.project) as store:
        conversation = _waiting(workspace, store, name, is_guided=False)
        entries = store.entries(conversation.id)
        if _is_earlier(entries):
            fail("CHT066", conversation=conversation.id)
        chosen = _chosen(workspace, Options(**conversation.options), options)
        _check_place(workspace, chosen)
        model = open_model(workspace, chosen, _spent(entries))
        held = _continued(workspace, store, replace(conversation, options=asdict(chosen)), ui)
        store.begin(held.conversation)
        return _proposed(workspace, held, chosen, model, ui)


def begin_guided(
    workspace: Workspace, ui: UserInterface, screen: Screen, out: str, edits: Path | None = None
) -> Outcome:
    """Have the guide ask until a plan is agreed to, or there is nobody to answer; fails as `begin` does.

    A pipeline that it `edits` is the start, and takes its own place; fails with CHT056 if choices cannot express it.
    """
    options = Options(provider=GUIDE, out=out)
    if edits:
        path = relpath(edits, workspace.root)
        options = replace(options, out=str(PurePath(path).parent), edits=path)
    _check_place(workspace, options)
    with open_store(workspace.project) as store:
        return _guided(workspace, _begun(workspace, store, options), (ui, screen))


def resume_guided(workspace: Workspace, name: str | None, ui: UserInterface, screen: Screen) -> Outcome:
    """Continue a conversation with the guide, without a name the newest that waits; fails as `resume` does."""
    with open_store(workspace.project) as store:
        conversation = _waiting(workspace, store, name, is_guided=True)
        return _guided(workspace, _continued(workspace, store, conversation, ui), (ui, screen))


@dataclass(frozen=True, slots=True)
class _Held:
    """A conversation while it is held, with its record."""

    store: Store
    session: Session
    conversation: Conversation
    record: AuditLog
    started: str
    """Event of its record that says how it started."""

    def journal(self, environment: W) -> Journal[W]:
        """Return an environment with this record."""
        return Journal((environment, self.record), self.store, self.session.id)


def _begun(workspace: Workspace, store: Store, options: Options) -> _Held:
    session = begin_conversation(workspace.project, project_scrubber(workspace))
    conversation = Conversation(session.id, now_text(), asdict(options))
    store.begin(conversation)
    record = AuditLog(session, conversation)
    record.save()
    return _Held(store, session, conversation, record, "chat_start")


def _continued(workspace: Workspace, store: Store, conversation: Conversation, ui: UserInterface) -> _Held:
    session = continue_conversation(workspace.project, conversation.id, project_scrubber(workspace))
    ui.show("chat_resumed", {"conversation": conversation.id})
    return _Held(store, session, conversation, AuditLog(session, conversation), "chat_resumed")


def _proposed(workspace: Workspace, held: _Held, options: Options, model: Model, ui: UserInterface) -> Outcome:
    """Hold a conversation in which a model proposes."""
    from osiris.chat.agent import Agent

    held.record.event(held.started, options=held.conversation.options, model=model.name)
    samples = options.samples or workspace.config.get("chat.samples")
    out = _out(workspace, options)
    environment = Environment(workspace, model, ui, held.session.id, samples=samples, out=out)
    return _talked(held, Agent(held.journal(environment), fast=options.fast))


def _guided(workspace: Workspace, held: _Held, person: tuple[UserInterface, Screen]) -> Outcome:
    """Hold a conversation in which the guide asks."""
    from osiris.chat.guide.environment import GuideEnvironment
    from osiris.chat.guide.flow import Guide

    out, path = str(held.conversation.options["out"]), held.conversation.options.get("edits")
    edits = workspace.root / str(path) if path else None
    with closing(GuideEnvironment(workspace, person, held.session.id, out, edits)) as environment:
        return _talked(held, Guide(held.journal(environment)))


def _waiting(workspace: Workspace, store: Store, name: str | None, *, is_guided: bool) -> Conversation:
    """Return a conversation that may go on, without a name the newest that waits.

    Fails with CHT021, with CHT030 for one that was ended, and with CHT052 for one of the other kind.
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
    """Return the newest conversation that neither ended nor is complete; fails with CHT021."""
    for each in store.conversations():
        summary = read_summary(workspace.project.logs / each.id)
        if _is_guided(each) == is_guided and (summary is None or summary["status"] == "waiting"):
            return each
    return fail(
        "CHT021", wanted="that waits", hint="give the id of one ('osiris logs list' shows them), or start a new one"
    )


def _chosen(workspace: Workspace, kept: Options, given: Options) -> Options:
    """Return the options with which a conversation goes on; a model belongs to its provider."""
    before, now = (provider_name(workspace.config, each.provider or kept.provider) for each in (kept, given))
    same = {key: getattr(given, key) or getattr(kept, key) for key in ("provider", "samples", "out")}
    return replace(kept, model=given.model or (kept.model if now == before else None), **same)


def _check_place(workspace: Workspace, options: Options) -> None:
    """Fail with CHT031 unless pipelines may be saved in the folder that is chosen, links followed."""
    folder = _out(workspace, options)
    path = resolve_path(workspace.root, folder)
    places = (workspace.project.pipelines, workspace.project.output)
    place = next((each for each in places if path.is_relative_to(each)), None)
    if place is None or place.is_symlink() or is_outside(place, path):
        fail("CHT031", folder=folder)


def _out(workspace: Workspace, options: Options) -> str:
    return str(options.out or workspace.config.get("chat.output") or workspace.project.output.name)


@dataclass(frozen=True, slots=True)
class Replayed:
    """The last OML of a conversation, made again from its record, and notes on that."""

    id: str
    oml: str
    notes: tuple[Diagnostic, ...] = ()


def replay(workspace: Workspace, name: str) -> Replayed:
    """Return the last OML of a conversation, made again from what was recorded; nothing is asked, done or written.

    It is the same byte for byte: what was checked then has the SHA-256 of its text on record. What an earlier
    version made is read from the record. Fails with CHT021, with CHT024 if another text comes out, with
    CHT025 if the conversation never came so far.
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
    """Tell whether answers in a conversation are those of earlier versions: of their rules, or proposals of a model."""
    answers = [(entry.result["model"], entry.result["value"]) for entry in entries if entry.kind == "ask"]
    return any(model == RULES or (isinstance(value, dict) and "target" in value) for model, value in answers)


def _recorded_oml(entries: Iterable[Entry]) -> str | None:
    """Return the last OML that was checked, as it is on record; None if none was. Fails with CHT024 as `replay`."""
    checks = [(number, entry) for number, entry in enumerate(entries, 1) if entry.kind == "check"]
    if not checks:
        return None
    number, last = checks[-1]
    oml = str(last.result["oml"])
    if last.asked != asked_digest("check", [oml]):
        fail("CHT024", number=number, recorded="check", asked="check")
    return oml


def _replayed_oml(store: Store, conversation: Conversation) -> str | None:
    """Return the last OML that who led a conversation tells with nothing but its record."""
    from osiris.chat.agent import Agent
    from osiris.chat.guide.flow import Guide

    journal: Journal[Any] = Journal(None, store, conversation.id)
    with suppress(Waiting):
        if _is_guided(conversation):
            Guide(journal).talk()
        else:
            Agent(journal, fast=conversation.options["fast"]).talk()
    return journal.oml


def _spent(entries: Iterable[Entry]) -> Usage:
    """Return what answers have taken so far."""
    used = [entry.result["usage"] for entry in entries if entry.kind == "ask"]
    counts = {key: sum(each[key] for each in used) for key in ("input_tokens", "output_tokens", "requests")}
    return Usage(**counts, cost=sum(each["cost"] or 0.0 for each in used))


def _talked(held: _Held, talker: Agent | Guide) -> Outcome:
    """Talk, and leave a record of how far it came, however it ends."""
    record, has_quit = held.record, False
    with held.session:
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
    return Outcome(record.summary, tuple(held.store.notes))
