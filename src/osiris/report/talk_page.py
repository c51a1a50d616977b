"""A conversation on one HTML page: what was said, what was looked at and proposed, and the runs that came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from osiris.report.template import own, policy, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.model import JsonValue

    Event = Mapping[str, JsonValue]


class Entry(NamedTuple):
    """One thing that was said or done: by whom, when, in lines; a text as it is; more of it behind a summary."""

    who: str
    label: str
    at: str
    lines: tuple[str, ...] = ()
    text: str = ""
    summary: str = ""
    more: str = ""
    run: str | None = None
    href: str | None = None


class Talk(NamedTuple):
    """A conversation as its page shows it."""

    session: str
    title: str
    status: str
    state: str
    started_at: str
    turns: int
    models: tuple[str, ...]
    tokens: int
    cost: str
    entries: tuple[Entry, ...]


def talk_page(
    summary: Event, events: Sequence[Event], drafts: Mapping[int, str], reports: Mapping[str, str], index: str | None
) -> str:
    """Return the page of a conversation.

    `drafts` are its OML texts by number, `reports` the addresses of pages of runs by session, `index` that of the page
    over all runs.
    """
    style = own("page.css", "run.css", "talk.css")
    talk = _talk(summary, events, drafts, reports)
    return render("talk.html.jinja", csp=policy([style], []), style=style, talk=talk, index=index)


def _talk(summary: Event, events: Sequence[Event], drafts: Mapping[int, str], reports: Mapping[str, str]) -> Talk:
    usage = summary["usage"]
    return Talk(
        session=str(summary["session"]),
        title=str(summary["title"]) or "A conversation",
        status=str(summary["status"]),
        state=str(summary["state"]),
        started_at=str(summary["started_at"]),
        turns=sum(event["event"] == "user_message" for event in events),
        models=tuple(dict.fromkeys(str(event["model"]) for event in events if event["event"] == "llm_exchange")),
        tokens=usage["input_tokens"] + usage["output_tokens"],
        cost=f"${usage['cost']:.4f}" if usage["cost"] else "" if usage["requests"] else "none",
        entries=tuple(_entry(event, drafts, reports) for event in events if event["event"] in _SHOWN),
    )


def _entry(event: Event, drafts: Mapping[int, str], reports: Mapping[str, str]) -> Entry:
    entry = _SHOWN[event["event"]](event)
    if event["event"] == "oml_synthesis_complete":
        return entry._replace(text=drafts.get(event["number"], ""))
    return entry._replace(href=reports.get(entry.run)) if entry.run else entry


def _said(event: Event) -> Entry:
    choices = [f"{number}. {text}" for number, text in enumerate(event.get("choices") or (), 1)]
    lines = (*str(event["text"]).splitlines(), *choices)
    who, label = ("person", "you") if event["event"] == "user_message" else ("agent", "osiris")
    return Entry(who, label, str(event["ts"]), lines)


def _transition(event: Event) -> Entry:
    return Entry("state", f"{event['from_state']} → {event['to_state']}", str(event["ts"]))


def _exchange(event: Event) -> Entry:
    more = json.dumps({"sent": event["sent"], "answer": event["value"]}, indent=1, ensure_ascii=False)
    label, summary = f"{event['model']}, {event['purpose']}", "what was sent and answered"
    return Entry("model", label, str(event["ts"]), summary=summary, more=more)


def _draft(event: Event) -> Entry:
    return Entry("draft", f"draft {event['number']}", str(event["ts"]))


def _checked(event: Event) -> Entry:
    found = tuple(f"{item['code']} {item['message']}" for item in event["diagnostics"] if item["severity"] != "note")
    verdict = "compiles" if event["ok"] else "does not compile"
    return Entry("check", f"draft {event['number']} {verdict}", str(event["ts"]), found)


def _saved(event: Event) -> Entry:
    return Entry("check", f"{event['state']} {event['file']}", str(event["ts"]))


def _ran(event: Event) -> Entry:
    return Entry("check", f"run {event['status']}", str(event["ts"]), run=event["session"])


_SHOWN: dict[str, Callable[[Event], Entry]] = {
    "user_message": _said,
    "assistant_response": _said,
    "state_transition": _transition,
    "llm_exchange": _exchange,
    "oml_synthesis_complete": _draft,
    "validation": _checked,
    "saved": _saved,
    "run_result": _ran,
}
