"""A world that keeps what it returns, and returns what it kept: so a conversation that was broken off goes on.

Each result is a row of the store before the agent gets it. Taken up again, the agent is given the rows one by one and
so comes into the same state; what comes after the last row is done for real. With no world behind it, it is a replay.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Generic, TypeVar

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.chat.environment import Waiting
from osiris.chat.live import LiveWorld
from osiris.chat.provider_api import Answer, Usage
from osiris.chat.store import Entry
from osiris.errors import OsirisError, diagnostic, fail
from osiris.secret import conceal
from osiris.session import now_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.chat.intent import Question
    from osiris.chat.provider_api import ModelRequest
    from osiris.chat.record import Record
    from osiris.chat.store import Store
    from osiris.model import JsonValue

W = TypeVar("W", bound=LiveWorld)

MOST_CHARACTERS = 20_000
"""The longest that is heard at once."""


def asked_digest(kind: str, asked: JsonValue) -> str:
    """Return the SHA-256 of what was asked of the world, as rows have it."""
    return sha256_hex(canonical_bytes([kind, asked]))


class Journaled(Generic[W]):
    """The world of one conversation, and its record; without them it is a replay, which waits where the record ends.

    `oml` is the last that was told.
    """

    oml: str | None = None

    def __init__(self, live: tuple[W, Record] | None, store: Store, conversation: str) -> None:
        self._live = live
        self._store = store
        self._conversation = conversation
        self._kept = store.entries(conversation)
        self._next = 0
        self._has_warned = False

    @property
    def world(self) -> W | None:
        """Return the world, once everything that was recorded has been returned; else None."""
        return self._live[0] if self._live and self._is_at_end else None

    @property
    def _is_at_end(self) -> bool:
        return self._next >= len(self._kept)

    def hear(self, question: Question | None) -> str:
        """Return the person's next words, without what looks like a secret; fails with CHT032 if they are too many."""
        about = question.about if question else None
        return str(self.result("hear", [about], lambda world, record: self._heard(world, record, world.hear(question))))

    def names(self, words: str) -> JsonValue:
        """Return what there is."""
        return self.result("names", [words], lambda world, _: world.names(words))

    def look(self, relations: Sequence[tuple[str, str, str]], without_rows: Sequence[str] = ()) -> JsonValue:
        """Return what relations are like."""
        asked = [[list(each) for each in relations], list(without_rows)]
        return self.result("look", asked, lambda world, _: world.look(relations, without_rows))

    def ask(self, request: ModelRequest) -> Answer:
        """Return what the model answers."""
        # What else a request has is made of results that are recorded; how a version lays it out is no difference.
        asked = [request.purpose, [asdict(message) for message in request.messages]]

        def complete(world: W, record: Record) -> JsonValue:
            began = time.monotonic()
            try:
                answer = world.ask(request)
            except OsirisError as error:
                record.event("llm_failed", purpose=request.purpose, code=error.diagnostics[0].code)
                raise
            return {**asdict(answer), "latency_ms": round((time.monotonic() - began) * 1000, 3)}

        kept = dict(self.result("ask", asked, complete))
        return Answer(kept["value"], kept["model"], Usage(**kept["usage"]), kept["sent"])

    def check(self, text: str) -> JsonValue:
        """Return what compiling a text says."""
        return self.result("check", [text], lambda world, _: world.check(text))

    def save(self, text: str, name: str, replaces: Sequence[str]) -> JsonValue:
        """Save a text and its plan."""
        return self.result("save", [text, name, list(replaces)], lambda world, _: world.save(text, name, replaces))

    def run(self, fingerprint: str, number: int) -> JsonValue:
        """Run a saved plan."""
        return self.result("run", [fingerprint, number], lambda world, _: world.run(fingerprint, number))

    def edit(self, text: str) -> str:
        """Have the person edit a text."""
        return str(self.result("edit", [text], lambda world, _: world.edit(text)))

    def tell(self, kind: str, **data: JsonValue) -> None:
        """Record what is told unless it is on record, and show it unless it was shown before."""
        if kind == "oml_synthesis_complete":
            self.oml = str(data["oml"])
        if self._live:
            self._live[1].tell(kind, data)
        if self.world:
            self.world.tell(kind, **data)

    def _heard(self, world: W, record: Record, words: str) -> str:
        if len(words) > MOST_CHARACTERS:
            fail("CHT032", count=len(words), most=MOST_CHARACTERS)
        # What is known as a secret goes first, so that the words around it stay.
        known: str = record.clean(words)
        shown = conceal(known)
        if shown != known and not self._has_warned:
            self._has_warned = True
            world.tell("warning", diagnostics=[diagnostic("CHT033").to_json()])
        return shown

    def result(self, kind: str, asked: JsonValue, act: Callable[[W, Record], JsonValue]) -> JsonValue:
        """Return what is on record, or what the world gives, once that is."""
        number, digest = self._next, asked_digest(kind, asked)
        if self._is_at_end:
            if self._live is None:
                raise Waiting
            world, record = self._live
            # A secret that somebody typed, or that a server told, ends here.
            result = record.clean(act(world, record))
            entry = Entry(kind, digest, now_text(), result)
            self._store.append(self._conversation, number, entry)
            self._kept.append(entry)
        entry = self._kept[number]
        if (entry.kind, entry.asked) != (kind, digest):
            fail("CHT024", number=number + 1, recorded=entry.kind, asked=kind)
        self._next += 1
        if self._live:
            self._live[1].entry(number, entry, asked)
        return entry.result
