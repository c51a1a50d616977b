"""The session of a conversation: `logs/<session>/` in the form that all sessions have.

events.jsonl has each transition, message, request and answer; metrics.jsonl what answers took; artifacts/ each draft,
what checking it said, and the pipeline that was saved. All of it can be told again from the store, so that a
conversation that is taken up again writes what a kill has left out, and nothing twice.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.durable import make_folder, write_file
from osiris.session import CONVERSATION, read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.chat.store import Conversation, Entry
    from osiris.model import JsonValue
    from osiris.session import Session

_TITLE = 120
_DISCOVERY = ("names", "look")
"""Entries that ask sources what they have; what they said is an artifact each."""
_LLM = {"input_tokens": "tokens", "output_tokens": "tokens", "requests": "count", "cost": "USD"}


class Record:
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

    @property
    def id(self) -> str:
        """Id of the conversation."""
        return self._session.id

    def clean(self, value: JsonValue) -> JsonValue:
        """Return a value without secrets."""
        return self._session.scrubber.json(value)

    def event(self, name: str, **fields: JsonValue) -> None:
        """Write an event of the command, rather than of the conversation."""
        self._session.event(name, **fields)

    def tell(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        """Write an event that the agent tells, and what goes with it, unless it is there."""
        self._told += 1
        self._follow(kind, data)
        if self._told > self._told_before:
            self._keep(kind, data)
            fields = {_NAMED.get(key, key): data[key] for key in data if key not in _KEPT_APART}
            self._session.event(kind, told=self._told, **fields)
            if kind == "state_transition":
                self.save()

    def entry(self, number: int, entry: Entry, asked: JsonValue) -> None:
        """Write what was asked of the world and what came of it, unless it is there."""
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

    def _follow(self, kind: str, data: Mapping[str, JsonValue]) -> None:
        summary = self.summary
        if kind == "state_transition":
            summary["state"] = data["to_state"]
        elif kind == "assistant_response":
            summary["said"] = data["text"]
            summary["refused"] = bool(data.get("refused"))
            summary["question"] = dict(data) if data.get("about") else None
        elif kind == "user_message":
            summary |= {"title": summary["title"] or str(data["text"])[:_TITLE], "question": None, "refused": False}
        elif kind == "plan":
            check = data["check"]
            summary |= {"pipeline": check["name"], "fingerprint": check["fingerprint"], "oml": check["oml"]}
        elif kind == "saved":
            summary["file"] = data["file"]
        elif kind == "run_result":
            summary |= {"runs": [*summary["runs"], data["session"]], "last_run": data["status"]}
        elif kind == "llm_response_complete":
            summary["usage"] = {name: summary["usage"][name] + (data.get(name) or 0) for name in _LLM}

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


_KEPT_APART = ("oml", "check", "plan")
"""What artifacts have, and events need not repeat."""

_NAMED = {"session": "run"}
"""What is named otherwise in events, whose `session` is always the conversation."""
