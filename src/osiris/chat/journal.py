"""An environment that keeps what it returns, and returns what it kept: so a conversation that was broken off goes on.

Each result is a row of the store before the agent gets it. Taken up again, the agent is given the rows one by one and
so comes into the same state; what comes after the last row is done for real. With no environment behind
it, it is a replay.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Generic, TypeVar

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.chat.environment import Environment, Waiting
from osiris.chat.provider_api import Answer, Usage
from osiris.chat.store import Entry
from osiris.durable import make_folder, write_file
from osiris.errors import OsirisError, diagnostic, fail
from osiris.secret import conceal
from osiris.session.stored import CONVERSATION, now_text, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osiris.chat.provider_api import ModelRequest, Question
    from osiris.chat.store import Conversation, Store
    from osiris.model import JsonValue
    from osiris.session.writing import Session

W = TypeVar("W", bound=Environment)

MOST_CHARACTERS = 20_000
"""The longest that is heard at once."""


def asked_digest(kind: str, asked: JsonValue) -> str:
    """Return the SHA-256 of what was asked of the environment, as rows have it."""
    return sha256_hex(canonical_bytes([kind, asked]))


_VERBS = ("names", "look", "check", "save", "run", "edit", "writers", "start")
"""Verbs of an environment whose results are recorded as they are; the last two are the guide's."""


def _recorded(verb: str) -> Callable[..., JsonValue]:
    """Return the method of a journal for a verb: it gives what is on record, else what the environment does."""

    def method(journal: Journal[W], *asked: JsonValue) -> JsonValue:
        return journal.result(verb, json.loads(json.dumps(asked)), lambda live, _: getattr(live, verb)(*asked))

    return method


class Journal(Generic[W]):
    """The environment of one conversation, and its log; without them it is a replay, which waits where the record ends.

    `oml` is the last that was told.
    """

    oml: str | None = None

    def __init__(self, live: tuple[W, AuditLog] | None, store: Store, conversation: str) -> None:
        self._live = live
        self._store = store
        self._conversation = conversation
        self._kept = store.entries(conversation)
        self._next = 0
        self._has_warned = False

    @property
    def environment(self) -> W | None:
        """Return the environment, once everything that was recorded has been returned; else None."""
        return self._live[0] if self._live and self._is_at_end else None

    @property
    def _is_at_end(self) -> bool:
        return self._next >= len(self._kept)

    def ask_user(self, question: Question | None) -> str:
        """Return the person's next words, without what looks like a secret; fails with CHT032 if they are too many."""
        about = question.about if question else None
        return str(self.result("hear", [about], lambda live, log: self._heard(live, log, live.ask_user(question))))

    def ask_model(self, request: ModelRequest) -> Answer:
        """Return what the model answers."""
        # What else a request has is made of results that are recorded; how a version lays it out is no difference.
        asked = [request.purpose, [asdict(message) for message in request.messages]]

        def complete(live: W, log: AuditLog) -> JsonValue:
            began = time.monotonic()
            try:
                answer = live.ask_model(request)
            except OsirisError as error:
                log.event("llm_failed", purpose=request.purpose, code=error.diagnostics[0].code)
                raise
            return {**asdict(answer), "latency_ms": round((time.monotonic() - began) * 1000, 3)}

        kept = dict(self.result("ask", asked, complete))
        return Answer(kept["value"], kept["model"], Usage(**kept["usage"]), kept["sent"])

    names, look, check, save, run, edit, writers, start = map(_recorded, _VERBS)

    def emit(self, kind: str, **data: JsonValue) -> None:
        """Record what is told unless it is on record, and show it unless it was shown before."""
        if kind == "oml_synthesis_complete":
            self.oml = str(data["oml"])
        if self._live:
            self._live[1].emit(kind, data)
        if self.environment:
            self.environment.emit(kind, **data)

    def _heard(self, live: W, log: AuditLog, words: str) -> str:
        if len(words) > MOST_CHARACTERS:
            fail("CHT032", count=len(words), most=MOST_CHARACTERS)
        # What is known as a secret goes first, so that the words around it stay.
        known: str = log.clean(words)
        shown = conceal(known)
        if shown != known and not self._has_warned:
            self._has_warned = True
            live.emit("warning", diagnostics=[diagnostic("CHT033").to_json()])
        return shown

    def result(self, kind: str, asked: JsonValue, act: Callable[[W, AuditLog], JsonValue]) -> JsonValue:
        """Return what is on record, or what the environment gives, once that is."""
        number, digest = self._next, asked_digest(kind, asked)
        if self._is_at_end:
            if self._live is None:
                raise Waiting
            live, log = self._live
            # A secret that somebody typed, or that a server told, ends here.
            result = log.clean(act(live, log))
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


_TITLE = 120
_DISCOVERY = ("names", "look")
"""Entries that ask sources what they have; what they said is an artifact each."""
_LLM = {"input_tokens": "tokens", "output_tokens": "tokens", "requests": "count", "cost": "USD"}


class AuditLog:
    """What is on record of one conversation; `state` and the rest of its summary follow what is told."""

    def __init__(self, session: Session, conversation: Conversation) -> None:
        self._session = session
        make_folder(session.artifacts, private=True)
        events = read_lines(session.folder / "events.jsonl")
        self._told_before = sum("told" in event for event in events)
        self._last_entry = max((event["entry"] for event in events if "entry" in event), default=-1)
        self._told = 0
        self.summary: dict[str, JsonValue] = {
            "session": session.id,
            "kind": CONVERSATION,
            "pipeline": CONVERSATION,
            "status": "waiting",
            "state": "INIT",
            "title": "",
            "question": None,
            "said": None,
            "refused": False,
            "last_run": None,
            "started_at": conversation.started_at,
            "ended_at": None,
            "options": conversation.options,
            "runs": [],
            "steps": {},
            "outputs": {},
            "diagnostics": [],
            "usage": dict.fromkeys(_LLM, 0),
        }

    def clean(self, value: JsonValue) -> JsonValue:
        """Return a value without secrets."""
        return self._session.scrubber.json(value)

    def event(self, name: str, **fields: JsonValue) -> None:
        """Write an event of the command, rather than of the conversation."""
        self._session.event(name, **fields)

    def emit(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Write an event that the agent tells, and what goes with it, unless it is there."""
        self._told += 1
        if kind in _CHANGES:
            self.summary |= _CHANGES[kind](self.summary, data)
        if self._told > self._told_before:
            self._keep(kind, data)
            fields = {_NAMED.get(key, key): data[key] for key in data if key not in _KEPT_APART}
            self._session.event(kind, told=self._told, **fields)
            if kind == "state_transition":
                self.save()

    def entry(self, number: int, entry: Entry, asked: JsonValue) -> None:
        """Write what was asked of the environment and what came of it, unless it is there."""
        if entry.kind == "hear" or number <= self._last_entry:
            return
        if entry.kind == "ask":
            result = dict(entry.result)
            self._measure(result)
            fields = {"purpose": asked[0], "sent": result["sent"], "value": result["value"]}
            self._session.event("llm_exchange", entry=number, model=result["model"], **fields)
            return
        if entry.kind in _DISCOVERY:
            found = {"asked": asked, "found": entry.result}
            self._artifact(f"discovery-{number}.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        size = len(json.dumps(entry.result))
        self._session.event("tool_call", entry=number, tool=entry.kind, arguments=asked, result_bytes=size)

    def save(self, *, ended_at: str | None = None, has_quit: bool = False) -> None:
        """Write run.json; whoever holds a conversation does so as it goes on, so that a kill leaves a session too."""
        status = "complete" if self.summary["state"] == "COMPLETE" else "ended" if has_quit else "waiting"
        self.summary |= {"status": status, "ended_at": ended_at}
        self._session.summary(self.summary)

    def _keep(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Write the artifact that belongs to an event."""
        if kind == "oml_synthesis_complete":
            self._artifact(f"draft-{data['number']}.yaml", str(data["oml"]))
        elif kind == "validation":
            self._artifact(f"diagnostics-{data['number']}.json", json.dumps(data["diagnostics"], indent=1) + "\n")
        elif kind == "plan":
            self._artifact("pipeline.yaml", str(data["check"]["oml"]))
        elif kind == "discovery_done":
            self._session.metric("discovery_recalled", float(data["recalled"] or 0), "count")

    def _artifact(self, name: str, text: str) -> None:
        write_file(self._session.artifacts / name, self._session.scrubber.text(text).encode(), private=True)

    def _measure(self, result: Mapping[str, JsonValue]) -> None:
        tags = {"model": str(result["model"])}
        self._session.metric("llm_latency_ms", result["latency_ms"], "ms", **tags)
        for name, unit in _LLM.items():
            if result["usage"][name] is not None:
                self._session.metric(f"llm_{name}", result["usage"][name], unit, **tags)


_CHANGES: dict[str, Callable[[Mapping[str, JsonValue], Mapping[str, JsonValue]], dict[str, JsonValue]]] = {
    "state_transition": lambda _, data: {"state": data["to_state"]},
    "assistant_response": lambda _, data: {
        "said": data["text"],
        "refused": bool(data.get("refused")),
        "question": dict(data) if data.get("about") else None,
    },
    "user_message": lambda before, data: {
        "title": before["title"] or str(data["text"])[:_TITLE],
        "question": None,
        "refused": False,
    },
    "plan": lambda _, data: {
        "pipeline": data["check"]["name"],
        **{key: data["check"][key] for key in ("fingerprint", "oml")},
    },
    "saved": lambda _, data: {"file": data["file"]},
    "run_result": lambda before, data: {"runs": [*before["runs"], data["session"]], "last_run": data["status"]},
    "llm_response_complete": lambda before, data: {
        "usage": {name: before["usage"][name] + (data.get(name) or 0) for name in _LLM}
    },
}
"""What of the summary is different after something was told, by its kind."""

_KEPT_APART = ("oml", "check", "plan")
"""What artifacts have, and events need not repeat."""

_NAMED = {"session": "run"}
"""What is named otherwise in events, whose `session` is always the conversation."""
