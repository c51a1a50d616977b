"""Conversations from outside: begin one, take one up again, replay one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from osiris.api import project_scrubber
from osiris.chat.agent import Agent
from osiris.chat.effects import Waiting
from osiris.chat.journal import Journaled
from osiris.chat.live import LiveWorld
from osiris.chat.port import Usage
from osiris.chat.providers import open_model
from osiris.chat.record import Record
from osiris.chat.store import Conversation, open_store
from osiris.errors import Diagnostic, OsirisError, fail
from osiris.session import begin_conversation, continue_conversation, now_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.api import Workspace
    from osiris.chat.live import Mouth
    from osiris.chat.port import Model
    from osiris.chat.store import Entry, Store
    from osiris.model import JsonValue
    from osiris.session import Session


@dataclass(frozen=True, slots=True)
class Options:
    """How a conversation is held: who proposes, what may be assumed, and what of rows may be shown to it.

    `provider`, `model` and `samples` (none, masked or raw) are None for what is configured; `out` is where pipelines
    are saved, None for output/.
    """

    provider: str | None = None
    model: str | None = None
    fast: bool = False
    pro_mode: bool = False
    samples: str | None = None
    out: str | None = None


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


def begin(workspace: Workspace, options: Options, mouth: Mouth) -> Outcome:
    """Hold a conversation until the person ends it, or has nothing to say; fails as what it asks for fails."""
    model = open_model(workspace, options)
    with open_store(workspace.project) as store:
        session = begin_conversation(workspace.project, project_scrubber(workspace))
        conversation = Conversation(session.id, now_text(), asdict(options))
        store.begin(conversation)
        record = Record(session, conversation)
        record.event("chat_start", options=conversation.options, model=model.name)
        live = _live(workspace, model, mouth, session.id, options)
        return _held(Journaled(live, store, record, session.id), store, session, record, fast=options.fast)


def resume(workspace: Workspace, name: str | None, options: Options, mouth: Mouth) -> Outcome:
    """Take up a conversation, the newest without a name, and go on with it; fails with CHT021, CHT023, CHT024.

    Of the options only who proposes counts: what may be assumed is part of what was said.
    """
    with open_store(workspace.project) as store:
        conversation = store.find(name)
        kept = Options(**conversation.options)
        chosen = replace(kept, provider=options.provider or kept.provider, model=options.model or kept.model)
        model = open_model(workspace, chosen, _spent(store.entries(conversation.id)))
        session = continue_conversation(workspace.project, conversation.id, project_scrubber(workspace))
        record = Record(session, conversation)
        record.event("chat_resumed", model=model.name)
        live = _live(workspace, model, mouth, session.id, kept)
        return _held(Journaled(live, store, record, session.id), store, session, record, fast=kept.fast)


@dataclass(frozen=True, slots=True)
class Replayed:
    """The last OML of a conversation, made again from its record, and notes on that."""

    id: str
    oml: str
    notes: tuple[Diagnostic, ...] = ()


def replay(workspace: Workspace, name: str) -> Replayed:
    """Return the last OML of a conversation, made again from what was recorded; nothing is asked, done or written.

    It is the same byte for byte: what was checked then has the SHA-256 of its text on record. Fails with CHT021, with
    CHT024 if another text comes out, and with CHT025 if the conversation never came so far.
    """
    with open_store(workspace.project) as store:
        conversation = store.find(name)
        witness = _Witness()
        with suppress(Waiting):
            Agent(Journaled(None, store, witness, conversation.id), fast=conversation.options["fast"]).talk()
        if witness.oml is None:
            fail("CHT025", conversation=conversation.id)
        return Replayed(conversation.id, witness.oml, tuple(store.notes))


class _Witness:
    """What a replay leaves behind: nothing but the last OML that was told."""

    def __init__(self) -> None:
        self.oml: str | None = None

    def clean(self, value: JsonValue) -> JsonValue:
        return value

    def tell(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        if kind == "oml_synthesis_complete":
            self.oml = str(data["oml"])

    def entry(self, number: int, entry: Entry, asked: JsonValue) -> None:
        """Write nothing: it is on record."""


def _live(workspace: Workspace, model: Model, mouth: Mouth, conversation: str, options: Options) -> LiveWorld:
    samples = options.samples or workspace.config.get("chat.samples")
    return LiveWorld(
        workspace, model, mouth, conversation, samples=samples, out=options.out or workspace.config.get("chat.output")
    )


def _spent(entries: Iterable[Entry]) -> Usage:
    """Return what answers have taken so far."""
    used = [Usage(**entry.result["usage"]) for entry in entries if entry.kind == "ask"]
    return Usage(
        sum(each.input_tokens for each in used),
        sum(each.output_tokens for each in used),
        sum(each.requests for each in used),
        sum(each.cost or 0.0 for each in used),
    )


def _held(world: Journaled, store: Store, session: Session, record: Record, *, fast: bool) -> Outcome:
    """Talk, and leave a record of how far it came, however it ends."""
    status = "waiting"
    with session:
        try:
            Agent(world, fast=fast).talk()
            status = "ended"
        except Waiting:
            pass
        except KeyboardInterrupt:
            record.event("chat_interrupted")
            raise
        except OsirisError as error:
            told = [each.to_json() for each in error.diagnostics]
            record.event("chat_error", diagnostics=told)
            raise
        finally:
            if record.summary["state"] == "COMPLETE":
                status = "complete"
            record.event("chat_end", status=status, state=record.summary["state"])
            record.save(status)
    return Outcome(record.summary, tuple(store.notes))
