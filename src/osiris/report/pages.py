"""Pages beside that of a run: a plan, a conversation, and all runs of a project."""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from osiris.history.failures import cause_code
from osiris.history.record import REFUSED
from osiris.report.drawing import BOX_HEIGHT, BOX_WIDTH, draw
from osiris.report.run import badge_of
from osiris.report.template import own, policy, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.model import JsonValue
    from osiris.report.plan import PlanView

    Event = Mapping[str, JsonValue]

MOST_RUNS = 2000
"""So many runs are listed, the newest; all are counted."""

_STATUSES = ("complete", "failed", "cancelled", "lost", "running")


def plan_page(view: PlanView) -> str:
    """Return the HTML page of a plan."""
    edges = [(source, step.id) for step in view.steps for source in (*step.inputs, *step.after)]
    steps = {step.id: step for step in view.steps}
    return render(
        "plan.html.jinja",
        plan=view,
        steps=steps,
        drawing=draw(list(steps), edges),
        box=(BOX_WIDTH, BOX_HEIGHT),
    )


def index_page(
    summaries: Sequence[Mapping[str, JsonValue]],
    reports: Mapping[str, str],
    talks: Sequence[Mapping[str, JsonValue]] = (),
) -> str:
    """Return the page over runs and conversations: the run.json of each, the newest first.

    `reports` are the addresses of their pages, by session.
    """
    runs = [summary for summary in summaries if summary["kind"] in ("run", REFUSED)]
    pipelines = sorted({str(run["pipeline"]) for run in runs})
    number = dict(zip(pipelines, count(1), strict=False))
    counts = Counter(str(run["status"]) for run in runs)
    style, script = own("page.css", "index.css"), own("index.js")
    return render(
        "index.html.jinja",
        csp=policy([style], [script]),
        style=style,
        script=script,
        total=len(runs),
        pipelines=pipelines,
        counts={status: counts[status] for status in _STATUSES if status in counts},
        rows_out=sum(run["rows_out"] for run in runs),
        runs=[_run_row(run, number[str(run["pipeline"])], reports) for run in runs[:MOST_RUNS]],
        talks=[{**talk, "runs": len(talk["runs"]), "href": reports.get(talk["session"])} for talk in talks[:MOST_RUNS]],
    )


def _run_row(run: Event, number: int, reports: Mapping[str, str]) -> Event:
    """Return a run with what the list tells besides its run.json: the code of its first error, its page's address."""
    took = run["duration_ms"]
    more = {"badge": badge_of(run), "code": cause_code(run), "href": reports.get(run["session"])}
    return {**run, "pipeline_number": number, "seconds": None if took is None else took / 1000, **more}


class Entry(NamedTuple):
    """One thing that was said or done: by whom, when, in lines; a text as it is; more of it behind a summary."""

    who: str
    label: str
    at: str = ""
    lines: tuple[str, ...] = ()
    text: str = ""
    summary: str = ""
    more: str = ""
    run: str | None = None
    href: str | None = None


def talk_page(
    summary: Event, events: Sequence[Event], drafts: Mapping[int, str], reports: Mapping[str, str], index: str | None
) -> str:
    """Return the page of a conversation.

    `drafts` are its OML texts by number, `reports` the addresses of pages of runs by session, `index` that of the page
    over all runs.
    """
    style, usage = own("page.css", "run.css", "talk.css"), summary["usage"]
    talk = {
        **summary,
        "title": str(summary["title"]) or "A conversation",
        "turns": sum(event["event"] == "user_message" for event in events),
        "models": tuple(dict.fromkeys(str(event["model"]) for event in events if event["event"] == "llm_exchange")),
        "tokens": usage["input_tokens"] + usage["output_tokens"],
        "cost": f"${usage['cost']:.4f}" if usage["cost"] else "" if usage["requests"] else "none",
        "entries": tuple(_entry(event, drafts, reports) for event in events if event["event"] in _SHOWN),
    }
    return render("talk.html.jinja", csp=policy([style], []), style=style, talk=talk, index=index)


def _entry(event: Event, drafts: Mapping[int, str], reports: Mapping[str, str]) -> Entry:
    entry = _SHOWN[event["event"]](event)._replace(at=str(event["ts"]))
    if event["event"] == "oml_synthesis_complete":
        return entry._replace(text=drafts.get(event["number"], ""))
    return entry._replace(href=reports.get(entry.run)) if entry.run else entry


def _said(event: Event) -> Entry:
    choices = [f"{number}. {text}" for number, text in enumerate(event.get("choices") or (), 1)]
    who, label = ("person", "you") if event["event"] == "user_message" else ("agent", "osiris")
    return Entry(who, label, lines=(*str(event["text"]).splitlines(), *choices))


def _exchange(event: Event) -> Entry:
    more = json.dumps({"sent": event["sent"], "answer": event["value"]}, indent=1, ensure_ascii=False)
    return Entry("model", f"{event['model']}, {event['purpose']}", summary="what was sent and answered", more=more)


def _checked(event: Event) -> Entry:
    problems = tuple(f"{item['code']} {item['message']}" for item in event["diagnostics"] if item["severity"] != "note")
    verdict = "compiles" if event["ok"] else "does not compile"
    return Entry("check", f"draft {event['number']} {verdict}", lines=problems)


_SHOWN: dict[str, Callable[[Event], Entry]] = {
    "user_message": _said,
    "assistant_response": _said,
    "state_transition": lambda event: Entry("state", f"{event['from_state']} → {event['to_state']}"),
    "llm_exchange": _exchange,
    "oml_synthesis_complete": lambda event: Entry("draft", f"draft {event['number']}"),
    "validation": _checked,
    "saved": lambda event: Entry("check", f"{event['state']} {event['file']}"),
    "run_result": lambda event: Entry("check", f"run {event['status']}", run=event["run"]),
}
"""The events that the page of a conversation shows, each with what it shows of them."""
