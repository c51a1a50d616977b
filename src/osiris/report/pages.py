"""HTML pages that need nothing else: of a run, with its files inside, of a plan, a conversation, and all runs."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare.lineage import KINDS, label_of
from osiris.history.failures import cause_code
from osiris.history.record import FILES, REFUSED, seconds_between
from osiris.history.row_counts import MILD
from osiris.history.tables import by_entry, causes_of, merged, since_text, states_text, tables_of
from osiris.report.drawing import BOX_HEIGHT, BOX_WIDTH, draw, thinned
from osiris.report.plan import size_text
from osiris.report.run import RunReport, StepReport, badge_of, read_report, statements_of
from osiris.report.template import duration_text, licensed, number_text, own, policy, render, short, visible
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.history.reading import Reading
    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue, Manifest
    from osiris.report.drawing import Drawing, Series
    from osiris.report.plan import PlanView

    Event = Mapping[str, JsonValue]


EVENTS_SHOWN = 100
"""Maximum of the first and of the last events that are shown; the download has all."""

MOST_PACKED = 64_000_000
"""The largest file, in bytes, that a page carries in itself; compressed, 100,000 events take about a tenth."""

CHARTS = ("vendor/uPlot.LICENSE", "vendor/uPlot.iife.min.js")
CHARTS_STYLE = "vendor/uPlot.min.css"
_NOTICE = "Charts: uPlot 1.6.32, © 2022 Leon Sorokin, MIT licence."

_PROBLEMS = 20
_SHOWN_LETTERS = 300
_LEAST_WIDTH = 0.4
_NOTICED = 0.05
_TICKS = 5
_NICE = (1, 2, 5, 10, 15, 30, 60)

VERDICTS = {
    "complete": "Yes",
    "failed": "No, it failed",
    "cancelled": "No, it was cancelled",
    "lost": "No, its process was lost",
    "running": "Still running",
}

MOST_COLUMNS = 200
"""Maximum columns of a step that are shown with lineage; the rest is counted."""


class Repeat(NamedTuple):
    """What a replay repeats, whether it may write to targets, and whether the same came out (None: not known).

    `difference` is the first thing that differs.
    """

    run: str
    to_targets: bool
    same: bool | None
    difference: str | None


def run_page(
    reading: Reading,
    earlier: RecordedRun | None = None,
    links: Mapping[str, str] = {},
    *,
    answer: Mapping[str, JsonValue] | None = None,
    repeat: Repeat | None = None,
    files: str | None = None,
    site: object = None,
) -> str:
    """Return the HTML page of a run; the same record gives the same page.

    `earlier` is the run that it is compared with, `links` are the addresses of other pages by their text. `answer` is
    that of its package: what is odd, what changed and what to do next. `repeat` is what a replay is to be told of.
    `files` is the beginning of links to files of the run, "" for a page in its folder; None if there are no links.
    `site` is as for `render`.
    """
    run = reading.run
    report = read_report(reading, earlier, answer)
    flow = column_flow(run.plan) if run.plan else []
    charts = bool(report.series)
    style = own("page.css", "run.css", *([CHARTS_STYLE] if charts else []))
    scripts = [*([licensed(*CHARTS), own("charts.js")] if charts else []), own("copy.js"), own("run.js")]
    return render(
        "run.html.jinja",
        site=site,
        csp=policy([style], scripts, served=site is not None),
        style=style,
        scripts=scripts,
        chart_notice=_NOTICE if charts else "",
        links=links,
        repeat=repeat,
        linked=files,
        has_flow=bool(flow),
        most_columns=MOST_COLUMNS,
        data={"flow": flow, "series": report.series.to_json() if report.series else None},
        files=[] if site is not None and files is None else list(_files(run)),
        timeline=_timeline(report),
        **_glance(report),
        **_drawn(report),
        **_charted(report.series),
        **_events(run),
    )


def _glance(run: RunReport) -> dict[str, object]:
    """Return the data for the top of the page, with the problems."""
    tables = tables_of(run.reading)
    failed = [step for step in run.failed if "entry" not in step.plan]
    shown = [step.error for step in failed[:_PROBLEMS]]
    return {
        "entries": {entry: (states_text(group), group, causes_of(group)) for entry, group in by_entry(tables).items()},
        "since": since_text,
        "failed": failed,
        "run": run,
        "verdict": _verdict(run),
        "tone": "noted" if _is_odd(run) else run.status,
        "odd": [finding for finding in (run.answer or {}).get("findings", ()) if finding["kind"] != "warning"],
        "longer": _longer(run),
        "done": _done(run),
        "rejected": sum(step.rows_rejected or 0 for step in run.steps),
        "most_problems": _PROBLEMS,
        "problems_title": "Worth knowing" if run.status in ("complete", "running") else "What went wrong",
        "others": [item for item in merged(run.reading.run.diagnostics, tables) if item not in shown],
    }


def _longer(run: RunReport) -> float | None:
    """Return how long it took with the checks before the first step; None if these took no time to speak of."""
    return run.whole if run.whole and run.whole - (run.seconds or 0.0) >= _NOTICED else None


def _charted(series: Series | None) -> dict[str, object]:
    """Return rates and memory over time, as text and as a table."""
    if series is None:
        return {"rates": "", "memory": "", "table": []}
    read, written = (number_text(max(rates)) for rates in (series.read, series.written))
    rates = f"at most {read} read and {written} written per second; a point is {duration_text(series.span)}"
    measured = [(most, index) for index, most in enumerate(series.memory) if most is not None]
    most, index = max(measured, default=(0, 0))
    memory = f"at most {size_text(most)}, after {duration_text(index * series.span)}" if measured else ""
    return {"rates": rates, "memory": memory, "table": thinned(series)}


def _done(run: RunReport) -> str:
    """Return the numbers of steps by status, as text."""
    skipped = run.count("skipped")
    words = [f"{run.count('complete'):,} of {count(len(run.steps), 'step')} complete"]
    words += [f"{skipped:,} skipped"] if skipped else []
    warnings = sum(item.severity == "warning" for item in run.reading.run.diagnostics)
    return ", ".join([*words, *([count(warnings, "warning")] if warnings else [])])


def _verdict(run: RunReport) -> str:
    return "Yes, with findings" if _is_odd(run) else VERDICTS.get(run.status, run.status)


def _is_odd(run: RunReport) -> bool:
    """Return whether a complete run has findings that matter."""
    odd = run.answer is not None and run.answer["verdict"]["kind"] not in ("ok", *MILD)
    return odd and run.status == "complete"


def _drawn(run: RunReport) -> dict[str, object]:
    steps, ordinary = {step.id: step for step in run.steps}, {step.id for step in run.ordinary}
    edges = [edge for edge in dict.fromkeys((*run.reading.run.edges, *run.waits)) if ordinary >= set(edge)]
    drawing = draw([name for name in steps if name in ordinary], edges)
    return {
        "steps": steps,
        "number": {name: index for index, name in enumerate(steps)},
        "drawing": drawing,
        "box": (BOX_WIDTH, BOX_HEIGHT),
        "sides": _sides(run, drawing),
        "figures": {name: _figures(step) for name, step in steps.items()},
        "statuses": list(dict.fromkeys(step.status for step in run.steps)),
        "fused": any(step.fused for step in run.steps),
    }


def _sides(run: RunReport, drawing: Drawing) -> dict[str, int]:
    """Return the side of each read step's row count: right (1), or left (-1) if all edges go right."""
    place = {box.name: box.x for box in drawing.boxes}
    sides: dict[str, int] = {}
    for source, target in run.reading.run.edges:
        if source in place and target in place:
            sides[source] = max(sides.get(source, -1), -1 if place[target] > place[source] else 1)
    return sides


def _figures(step: StepReport) -> str:
    rows = [] if step.rows is None else [count(step.rows, "row")]
    rows += [] if step.seconds is None else [duration_text(step.seconds)]
    return ", ".join([*rows, *([f"{step.rows_rejected:,} rejected"] if step.rows_rejected else [])])


def _timeline(run: RunReport) -> dict[str, object]:
    """Return the steps that began, in that order, and the seconds that went before the first.

    A bar is a step with where it begins and how wide it is, in percent, and the same in words; a tick is a mark of the
    time line: its place in percent, its text, and how that stands to it.
    """
    ordinary = {step.id for step in run.ordinary}
    begun = sorted(
        (step.began, index) for index, step in enumerate(run.steps) if step.began is not None and step.id in ordinary
    )
    span = max(run.span, 1e-6)
    bars, ticks = [], []
    for began, index in begun:
        step = run.steps[index]
        ended = span if step.ended is None else step.ended
        left, width = min(100 * began / span, 100 - _LEAST_WIDTH), max(100 * (ended - began) / span, _LEAST_WIDTH)
        words = f"from {duration_text(began)} to {duration_text(ended)}"
        bars.append({"step": step, "left": round(left, 3), "width": round(width, 3), "words": words})
    apart = _nice(span / _TICKS)
    for number in range(int(span / apart) + 1):
        at = 100 * number * apart / span
        if at <= 96:
            text, anchor = (duration_text(number * apart), "middle") if number else ("0", "start")
            ticks.append({"at": round(at, 3), "text": text, "anchor": anchor})
    return {"rows": bars, "ticks": ticks, "first": begun[0][0] if begun else None}


def _nice(least: float) -> float:
    """Return the first length that people count in and that is not shorter."""
    unit = 1.0
    while unit > least:
        unit /= 10
    for size in (unit * factor * scale for scale in (1, 10, 60, 600, 3600, 36000) for factor in _NICE):
        if size >= least:
            return size
    return least


def _events(run: RecordedRun) -> dict[str, object]:
    """Return the first and the last events, with None between them where some are left out.

    `after` is seconds since the run started, `what` the further fields of an event.
    """
    left_out = max(len(run.events) - 2 * EVENTS_SHOWN, 0)
    rows: list[dict[str, object] | None] = []
    for event in (*run.events[:EVENTS_SHOWN], *run.events[max(EVENTS_SHOWN, len(run.events) - EVENTS_SHOWN) :]):
        further = {k: v for k, v in event.items() if k not in ("ts", "seq", "session", "event", "step")}
        what = short(json.dumps(further, ensure_ascii=False), _SHOWN_LETTERS) if further else ""
        after = seconds_between(str(run.summary["started_at"]), event["ts"])
        names = {"name": str(event["event"]), "step": str(event.get("step", ""))}
        rows.append({"number": event["seq"], "after": after, **names, "what": what})
    if left_out:
        rows.insert(EVENTS_SHOWN, None)
    return {"events": rows, "events_shown": EVENTS_SHOWN, "left_out": left_out}


def _files(run: RecordedRun) -> Iterator[dict[str, object]]:
    """Yield the files of the session as they are, with their sizes in bytes, as base64 of gzip; None if too large.

    The time of packing is left out: the page must not depend on it.
    """
    for name in FILES:
        path = run.folder / name
        if not path.is_file():
            continue
        size = path.stat().st_size
        packed = None
        if size <= MOST_PACKED:
            packed = base64.b64encode(gzip.compress(path.read_bytes(), 4, mtime=0)).decode()
        yield {"name": name, "size": size, "packed": packed}


def column_flow(plan: Manifest) -> list[JsonValue]:
    """Return for each step, in their order, what the script needs to walk up from a column.

    `label` and `columns` are texts, `source` tells that nothing is above. `arrows` has for a column, by its number, a
    list of step, column and kind (number of `compare.KINDS`) that it is made of, and `rows` the columns that decide
    which rows there are. A step that does not tell has neither, but `reads`: the steps whose columns it may be made of.
    A writer has `copies`: the step whose columns it writes as they are.
    """
    number = {step["id"]: index for index, step in enumerate(plan.steps)}
    names: dict[str, list[str]] = {}
    for step in plan.steps:
        names[step["id"]] = _names(step, names)
    place = {step: {name: index for index, name in enumerate(columns)} for step, columns in names.items()}
    connections = plan.data.get("connections", {})
    return [
        {
            "label": visible(step["id"] if step["mode"] == "transform" else label_of(step, connections)),
            "step": visible(step["id"]),
            "source": not step["inputs"],
            "columns": [visible(name) for name in names[step["id"]]],
            **_origin(step, number, place),
        }
        for step in plan.steps
    ]


def _names(step: Mapping[str, JsonValue], above: Mapping[str, list[str]]) -> list[str]:
    if step["mode"] == "write":
        return [name for source in _inputs(step) for name in above[source]]
    return [column["name"] for column in step["schema"] or ()]


def _inputs(step: Mapping[str, JsonValue]) -> list[str]:
    return list(dict.fromkeys(step["inputs"].values()))


def _origin(
    step: Mapping[str, JsonValue], number: Mapping[str, int], place: Mapping[str, Mapping[str, int]]
) -> dict[str, JsonValue]:
    inputs = [number[source] for source in _inputs(step)]
    if step["mode"] == "write" and len(inputs) == 1:
        return {"copies": inputs[0]}
    lineage = step.get("lineage")
    if lineage is None:
        return {"reads": inputs} if inputs else {}
    return {
        "inputs": inputs,
        "arrows": _arrows(step["id"], lineage["columns"], number, place),
        "rows": [[number[source], place[source][name]] for source, name in lineage["rows"]],
    }


def _arrows(
    step: str,
    columns: Mapping[str, JsonValue],
    number: Mapping[str, int],
    place: Mapping[str, Mapping[str, int]],
) -> dict[int, list[list[int]]]:
    return {
        place[step][column]: [[number[source], place[source][name], KINDS.index(kind)] for source, name, kind in arrows]
        for column, arrows in columns.items()
        if arrows and column in place[step]
    }


# --- Pages beside that of a run ---------------------------------------------------------------------------------------

MOST_RUNS = 2000
"""Maximum runs listed, the newest; all are counted."""
_STATUSES = ("complete", "failed", "cancelled", "lost", "running")


def plan_page(view: PlanView) -> str:
    """Return the HTML page of a plan."""
    style = own("page.css", "run.css", "plan.css")
    return render("plan.html.jinja", csp=policy([style], []), style=style, **plan_words(view))


def plan_words(view: PlanView, manifest: Manifest | None = None) -> dict[str, object]:
    """Return what `plan_content.html.jinja` shows of a plan; the SQL of its steps is taken from `manifest`."""
    edges = [(source, step.id) for step in view.steps for source in (*step.inputs, *step.after)]
    steps = {step.id: step for step in view.steps}
    return {
        "plan": view,
        "steps": steps,
        "drawing": draw(list(steps), edges),
        "box": (BOX_WIDTH, BOX_HEIGHT),
        "fused": any(step.fused for step in view.steps),
        "waits": any(step.after for step in view.steps),
        "statements": {step["id"]: statements_of(step) for step in manifest.steps} if manifest else {},
    }


def index_page(
    summaries: Sequence[Mapping[str, JsonValue]],
    reports: Mapping[str, str],
    talks: Sequence[Mapping[str, JsonValue]] = (),
    site: object = None,
) -> str:
    """Return the page over runs and conversations: the run.json of each, the newest first.

    `reports` are the addresses of their pages, by session. `site` is as for `render`.
    """
    runs = [summary for summary in summaries if summary["kind"] in ("run", REFUSED)]
    pipelines = sorted({str(run["pipeline"]) for run in runs})
    number = dict(zip(pipelines, itertools.count(1), strict=False))
    counts = Counter(str(run["status"]) for run in runs)
    style, script = own("page.css", "index.css"), own("index.js")
    return render(
        "index.html.jinja",
        site=site,
        csp=policy([style], [script], served=site is not None),
        style=style,
        script=script,
        total=len(runs),
        pipelines=pipelines,
        counts={status: counts[status] for status in _STATUSES if status in counts},
        rejecting=sum(_rejected(run) > 0 for run in runs),
        runs=[_run_row(run, number[str(run["pipeline"])], reports) for run in runs[:MOST_RUNS]],
        talks=[{**talk, "runs": len(talk["runs"]), "href": reports.get(talk["session"])} for talk in talks[:MOST_RUNS]],
    )


def _run_row(run: Event, number: int, reports: Mapping[str, str]) -> Event:
    """Return a run as the list shows it: run.json, the code of its first error, and its page's address."""
    took = run["duration_ms"]
    more = {"badge": badge_of(run), "code": cause_code(run), "href": reports.get(run["session"])}
    figures = {"seconds": None if took is None else took / 1000, "rejected": _rejected(run)}
    return {**run, "pipeline_number": number, **figures, **more}


def _rejected(run: Event) -> int:
    return sum(step.get("rows_rejected") or 0 for step in run["steps"].values())


class Entry(NamedTuple):
    """One entry of a conversation: who, when, lines, a preformatted text, and details behind a summary."""

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


def _message(event: Event) -> Entry:
    choices = [f"{number}. {text}" for number, text in enumerate(event.get("choices") or (), 1)]
    who, label = ("person", "you") if event["event"] == "user_message" else ("agent", "osiris")
    return Entry(who, label, lines=(*str(event["text"]).splitlines(), *choices))


def _exchange(event: Event) -> Entry:
    more = json.dumps({"sent": event["sent"], "answer": event["value"]}, indent=1, ensure_ascii=False)
    return Entry("model", f"{event['model']}, {event['purpose']}", summary="request and response", more=more)


def _checked(event: Event) -> Entry:
    problems = tuple(f"{item['code']} {item['message']}" for item in event["diagnostics"] if item["severity"] != "note")
    verdict = "compiles" if event["ok"] else "does not compile"
    return Entry("check", f"draft {event['number']} {verdict}", lines=problems)


_SHOWN: dict[str, Callable[[Event], Entry]] = {
    "user_message": _message,
    "assistant_response": _message,
    "state_transition": lambda event: Entry("state", f"{event['from_state']} → {event['to_state']}"),
    "llm_exchange": _exchange,
    "oml_synthesis_complete": lambda event: Entry("draft", f"draft {event['number']}"),
    "validation": _checked,
    "saved": lambda event: Entry("check", f"{event['state']} {event['file']}"),
    "run_result": lambda event: Entry("check", f"run {event['status']}", run=event["run"]),
}
"""The events that the page of a conversation shows, each with its entry."""
