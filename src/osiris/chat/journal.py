"""An environment that records its results and replays recorded ones, so that an interrupted conversation can resume.

Each result is stored before the agent gets it. On resume the agent is given the stored results one by one and so
reaches the same state; after the last one, calls are real. Without an environment it is a replay.
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
from osiris.secret import redact
from osiris.session.stored import CONVERSATION, now_text, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osiris.chat.provider_api import ModelRequest, Question
    from osiris.chat.store import Conversation, Store
    from osiris.model import JsonValue
    from osiris.session.writing import Session

W = TypeVar("W", bound=Environment)

MOST_CHARACTERS = 20_000
"""Longest accepted input."""


def request_digest(kind: str, arguments: JsonValue) -> str:
    """Return the SHA-256 of a call of the environment, as stored in rows."""
    return sha256_hex(canonical_bytes([kind, arguments]))


_VERBS = ("names", "look", "check", "save", "run", "edit", "writers", "start")
"""Methods of an environment whose results are recorded unchanged; the last two are the guide's."""


def _recorded(verb: str) -> Callable[..., JsonValue]:
    """Return a journal method for an environment method: it returns the recorded result, else calls the environment."""

    def method(journal: Journal[W], *arguments: JsonValue) -> JsonValue:
        return journal.result(verb, json.loads(json.dumps(arguments)), lambda live, _: getattr(live, verb)(*arguments))

    return method


class Journal(Generic[W]):
    """The environment and audit log of one conversation; without them it is a replay, which waits where the record
    ends.

    `oml` is the last OML that was emitted.
    """

    oml: str | None = None

    def __init__(self, live: tuple[W, AuditLog] | None, store: Store, conversation: str) -> None:
        self._live = live
        self._store = store
        self._conversation = conversation
        self._entries = store.entries(conversation)
        self._next = 0
        self._has_warned = False

    @property
    def environment(self) -> W | None:
        """Return the environment once all recorded results have been returned; else None."""
        return self._live[0] if self._live and self._is_at_end else None

    @property
    def _is_at_end(self) -> bool:
        return self._next >= len(self._entries)

    def ask_user(self, question: Question | None) -> str:
        """Return the person's next words, with possible secrets redacted; fails with CHT032 if they are too long."""
        about = question.about if question else None
        return str(self.result("hear", [about], lambda live, log: self._redact(live, log, live.ask_user(question))))

    def ask_model(self, request: ModelRequest) -> Answer:
        """Return the model's answer."""
        # The rest of a request derives from recorded results; its layout may differ between versions.
        arguments = [request.purpose, [asdict(message) for message in request.messages]]

        def complete(live: W, log: AuditLog) -> JsonValue:
            started = time.monotonic()
            try:
                answer = live.ask_model(request)
            except OsirisError as error:
                log.event("llm_failed", purpose=request.purpose, code=error.diagnostics[0].code)
                raise
            return {**asdict(answer), "latency_ms": round((time.monotonic() - started) * 1000, 3)}

        recorded = dict(self.result("ask", arguments, complete))
        return Answer(recorded["value"], recorded["model"], Usage(**recorded["usage"]), recorded["sent"])

    names, look, check, save, run, edit, writers, start = map(_recorded, _VERBS)

    def emit(self, kind: str, **data: JsonValue) -> None:
        """Record an event unless it is on record, and show it unless it was shown before."""
        if kind == "oml_synthesis_complete":
            self.oml = str(data["oml"])
        if self._live:
            self._live[1].emit(kind, data)
        if self.environment:
            self.environment.emit(kind, **data)

    def _redact(self, live: W, log: AuditLog, words: str) -> str:
        if len(words) > MOST_CHARACTERS:
            fail("CHT032", count=len(words), most=MOST_CHARACTERS)
        # Redact known secrets first, so that the words around them stay.
        cleaned: str = log.clean(words)
        redacted = redact(cleaned)
        if redacted != cleaned and not self._has_warned:
            self._has_warned = True
            live.emit("warning", diagnostics=[diagnostic("CHT033").to_json()])
        return redacted

    def result(self, kind: str, arguments: JsonValue, act: Callable[[W, AuditLog], JsonValue]) -> JsonValue:
        """Return the recorded result, or else call the environment and record its result."""
        number, digest = self._next, request_digest(kind, arguments)
        if self._is_at_end:
            if self._live is None:
                raise Waiting
            live, log = self._live
            # Secrets that were typed, or that a server sent, are redacted here.
            result = log.clean(act(live, log))
            entry = Entry(kind, digest, now_text(), result)
            self._store.append(self._conversation, number, entry)
            self._entries.append(entry)
        entry = self._entries[number]
        if (entry.kind, entry.asked) != (kind, digest):
            fail("CHT024", number=number + 1, recorded=entry.kind, asked=kind)
        self._next += 1
        if self._live:
            self._live[1].entry(number, entry, arguments)
        return entry.result


_TITLE = 120
_DISCOVERY = ("names", "look")
"""Entries with answers of sources; each is saved as an artifact."""
_LLM = {"input_tokens": "tokens", "output_tokens": "tokens", "requests": "count", "cost": "USD"}


class AuditLog:
    """The audit log of one conversation; its summary is updated by each event."""

    def __init__(self, session: Session, conversation: Conversation) -> None:
        self._session = session
        make_folder(session.artifacts, private=True)
        events = read_lines(session.folder / "events.jsonl")
        self._recorded_events = sum("told" in event for event in events)
        self._last_entry = max((event["entry"] for event in events if "entry" in event), default=-1)
        self._events = 0
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
        """Return a value with secrets redacted."""
        return self._session.scrubber().json(value)

    def event(self, name: str, **fields: JsonValue) -> None:
        """Write an event of the command rather than the conversation."""
        self._session.event(name, **fields)

    def emit(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Write an event of the agent, and its artifact, unless already written."""
        self._events += 1
        if kind in _CHANGES:
            self.summary |= _CHANGES[kind](self.summary, data)
        if self._events > self._recorded_events:
            self._save_artifact(kind, data)
            fields = {_RENAMED_FIELDS.get(key, key): data[key] for key in data if key not in _IN_ARTIFACTS}
            self._session.event(kind, told=self._events, **fields)
            if kind == "state_transition":
                self.save()

    def entry(self, number: int, entry: Entry, arguments: JsonValue) -> None:
        """Write a call of the environment and its result, unless already written."""
        if entry.kind == "hear" or number <= self._last_entry:
            return
        if entry.kind == "ask":
            result = dict(entry.result)
            self._measure(result)
            fields = {"purpose": arguments[0], "sent": result["sent"], "value": result["value"]}
            self._session.event("llm_exchange", entry=number, model=result["model"], **fields)
            return
        if entry.kind in _DISCOVERY:
            exchange = {"asked": arguments, "found": entry.result}
            self._artifact(f"discovery-{number}.json", json.dumps(exchange, indent=1, ensure_ascii=False) + "\n")
        size = len(json.dumps(entry.result))
        self._session.event("tool_call", entry=number, tool=entry.kind, arguments=arguments, result_bytes=size)

    def save(self, *, ended_at: str | None = None, has_quit: bool = False) -> None:
        """Write run.json; written during the conversation, so that a kill leaves a session too."""
        status = "complete" if self.summary["state"] == "COMPLETE" else "ended" if has_quit else "waiting"
        self.summary |= {"status": status, "ended_at": ended_at}
        self._session.summary(self.summary)

    def _save_artifact(self, kind: str, data: Mapping[str, JsonValue]) -> None:
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
        write_file(self._session.artifacts / name, self._session.scrubber().text(text).encode(), private=True)

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
"""Updates of the summary, by kind of event."""

_IN_ARTIFACTS = ("oml", "check", "plan")
"""Fields that are in artifacts, and not repeated in events."""

_RENAMED_FIELDS = {"session": "run"}
"""Fields renamed in events, whose `session` is always the conversation."""
