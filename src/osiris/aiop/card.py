"""The answer for people: the run card, one page in Markdown, and the narrative."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from osiris.history.failures import clip, event_ids
from osiris.history.record import FILES
from osiris.history.rejects import FILE
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.history.reading import Reading
    from osiris.history.rejects import Group
    from osiris.model import JsonValue

    Answer = dict[str, JsonValue]


_MARKS = {"complete": "✅", "failed": "❌", "cancelled": "⏹", "lost": "❌", "running": "⏳"}
_SPECIAL = re.compile(r"([\\`*{}\[\]<>()#+!|~&]|(?<![^\W_])_|_(?![^\W_]))")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
_CELL = 120
_GROUPS = 3
"""Maximum groups of rejected rows with a line of their own."""

_TIMES = 12
"""Maximum steps whose time is shown, the longest first."""

_STATES = {
    "written": "wrote {rows:,} rows to {target}",
    "kept": "had already written {rows:,} rows to {target} and was skipped",
    "nothing": "did not change {target}",
    "unknown": "was interrupted: {target} has all of its rows or none (unknown which)",
    "partial": "was interrupted: {target} may have part of its rows",
}


def card_of(reading: Reading, answer: Answer, intent: Answer) -> str:
    """Return the run card; data in it is escaped, so that it cannot act as Markdown."""
    rejected = sum(group.count for group in reading.groups)
    records = [f"[{name}](../{name})" for name in FILES if (reading.run.folder / name).is_file()]
    todo = (f"- {code(command['command'])}: {command['why']}" for command in answer["next"])
    parts = {
        "Why": _failure(answer),
        "Tables": _tables(answer),
        "Written": _written(answer),
        "Rows": _rows(answer),
        "Time": _times(reading),
        f"{rejected:,} {'row' if rejected == 1 else 'rows'} rejected": _row_errors(reading),
        "Findings": (f"- {plain(finding['text'])}" for finding in answer["findings"]),
        "Since the last success": _changes(answer),
        "Next": [plain(answer["retry"]["why"]), "", *todo],
        "Files": [", ".join([*records, f"[the package]({reading.run.id}_aiop.json)"])],
    }
    texts = {title: "\n".join(lines) for title, lines in parts.items()}
    sections = [f"## {title}\n\n{text}" for title, text in texts.items() if text]
    return "\n\n".join(["\n".join(_head(answer, intent)), *sections]) + "\n"


def _head(answer: Answer, intent: Answer) -> Iterator[str]:
    run, verdict = answer["run"], answer["verdict"]
    mark = "⚠️" if verdict["status"] == "complete" and verdict["kind"] != "ok" else _MARKS[verdict["status"]]
    yield f"# {mark} {plain(run['pipeline'])}: {verdict['status']}"
    yield ""
    yield plain(verdict["text"])
    yield ""
    if intent["known"]:
        yield f"*{plain(intent['text'])}*"
        yield ""
    took = "unknown time" if run["duration_ms"] is None else f"{run['duration_ms'] / 1000:,.2f} s"
    which = f"Session {code(run['session'])}, plan {code(run['plan'])}, {plain(run['adapter'])}"
    yield f"{which}, started {run['started_at']}, took {took}."


def _failure(answer: Answer) -> Iterator[str]:
    failure = answer["failure"]
    if failure is None:
        return
    where = f" at {code(failure['place'])}" if failure["place"] else ""
    step = f" in step {code(failure['step'])}" if failure["step"] else ""
    yield f"{code(failure['code'])} ({failure['class']}){step}{where}: {plain(failure['cause'])}."
    if failure["remedy"]:
        yield f"To do: {plain(failure['remedy'])}."
    if answer["chain"]["total"] > 1:
        yield ""
        links = answer["chain"]["links"]
        more = answer["chain"]["total"] - len(links)
        yield from table(("step", "state", "because of"), ((x["step"], x["state"], x["because"]) for x in links))
        yield from ([f"… and {more} more."] if more else [])


def _tables(answer: Answer) -> Iterator[str]:
    """Yield how the tables of entries of `replicate` fared, and why some failed."""
    for entry in answer.get("tables", {"entries": ()})["entries"]:
        yield f"- {_entry_text(entry)}"
        yield from (f"  - {_cause_text(cause)}" for cause in entry["causes"])


def _cause_text(cause: Answer) -> str:
    names, tables = ", ".join(map(plain, cause["first"])), cause["tables"]
    more = f" and {tables - len(cause['first']):,} more" if tables > len(cause["first"]) else ""
    return f"{count(tables, 'table')}: {code(cause['code'])} {plain(cause['cause'])} ({names}{more})"


def _entry_text(entry: Answer) -> str:
    """Return how many tables an entry has, in which states, and how many of them were read in one snapshot."""
    states = ", ".join(f"{number:,} {state}" for state, number in entry["states"].items())
    snapshot = entry["snapshot"]
    text = f"; {snapshot['shared']:,} read in one snapshot, {snapshot['apart']:,} apart" if snapshot else ""
    again = f", {snapshot['again']:,} read again after a failure, apart" if snapshot and snapshot["again"] else ""
    return f"{plain(entry['entry'])}: {entry['tables']:,} tables: {states}{text}{again}"


def _written(answer: Answer) -> Iterator[str]:
    words = {False: "no", None: "unknown"}
    if writers := answer["written"]["writers"]:
        rows = ((w["step"], w["state"], w["rows"], words[w["partial"]], w["delivery"], w["target"]) for w in writers)
        yield from table(("step", "state", "rows", "partial", "delivery", "target"), rows)


def _rows(answer: Answer) -> Iterator[str]:
    rows = answer["rows"]
    yield from table(rows["steps"]["columns"], rows["steps"]["rows"])
    more = rows["total"] - len(rows["steps"]["rows"])
    yield from ([f"… and {more} more steps."] if more else [])


def _times(reading: Reading) -> Iterator[str]:
    times = [(step.id, time) for step in reading.run.steps if (time := step.summary.get("duration_ms"))]
    longest = sorted(times, key=lambda time: -time[1])[:_TIMES]
    if longest:
        yield from table(("step", "ms"), longest)
        yield ""
        yield "Steps that stream into each other run at the same time, so their times overlap."


def _row_errors(reading: Reading) -> Iterator[str]:
    alike = _alike(reading.groups)
    if not alike:
        return
    examples = (str(group.examples[0]["value"]) if group.examples else "" for group, _ in alike)
    rows = ((g.step, g.column, _reason(g), rows, example) for (g, rows), example in zip(alike, examples, strict=True))
    yield from table(("step", "column", "reason", "rows", "for example"), list(rows)[:_GROUPS])
    if rest := alike[_GROUPS:]:
        named = "; ".join(f"{g.column or g.step}: {clip(_reason(g), 60)} ({rows:,})" for g, rows in rest[:5])
        yield f"{len(rest)} more: {plain(named)}{'; …' if len(rest) > 5 else ''}."
    links = (f"[rejected.csv of {plain(g.step)}](../artifacts/{quote(g.step)}/{FILE})" for g, _ in alike)
    yield f"\nAll of them: {', '.join(dict.fromkeys(links))}."


def _alike(groups: Iterable[Group]) -> list[tuple[Group, int]]:
    """Return groups merged by step, column and reason, with their rows; the largest first."""
    alike: dict[tuple[str, str, str], tuple[Group, int]] = {}
    for group in groups:
        key = (group.step, group.column, group.reason)
        first, rows = alike.get(key, (group, 0))
        alike[key] = (first, rows + group.count)
    return sorted(alike.values(), key=lambda each: -each[1])


def _reason(group: Group) -> str:
    """Return why rows were rejected; for whole rows the message of the first, with its numbers."""
    return group.reason if group.column or not group.said else group.said


def _changes(answer: Answer) -> Iterator[str]:
    changes = answer["changes"]
    if changes["base"] is None and not changes["top"]:
        yield "No earlier success of this pipeline is on record."
        return
    if changes["base"] and changes["rows_in"] is None:
        yield f"The last success, {code(changes['base'])}, is no longer on record, so nothing can be compared."
        return
    if changes["base"]:
        figures = {"rows read": "rows_in", "rows written": "rows_out", "ms": "duration_ms"}
        rows = ((words, changes[key]["before"], changes[key]["now"]) for words, key in figures.items())
        yield from table(("", "before", "now"), rows)
        yield ""
    yield from (f"- {plain(change['text'])} ({change['area']})" for change in changes["top"])
    more = changes["total"] - len(changes["top"])
    if more:
        yield f"- … and {more} more"
    elif not changes["top"]:
        yield "No other changes on record."


def table(header: Iterable[str], rows: Iterable[Iterable[JsonValue]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    names = list(header)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"


def _cell(value: JsonValue) -> str:
    if value is None:
        return ""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:,}" if number else plain(clip(str(value), _CELL))


def plain(text: str) -> str:
    """Return a text that Markdown and terminals show unchanged."""
    return _SPECIAL.sub(r"\\\1", _UNSEEN.sub("�", " ".join(str(text).split()))).replace("://", ":\\//")


def code(text: str) -> str:
    """Return a text as inline code, which is shown unchanged."""
    shown = _UNSEEN.sub("�", " ".join(str(text).split()))
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    pad = " " if "`" in shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def sentences_of(reading: Reading, answer: Answer) -> Iterator[dict[str, JsonValue]]:
    """Yield the narrative: start, result, outputs, findings, changes and what to do next."""
    run, chain = answer["run"], answer["chain"]
    how = f"resumed run {run['continues']}" if run["continues"] else "started"
    began = f"Run {run['session']} of pipeline {run['pipeline']} (plan {run['plan']}, {run['adapter']}) {how}."
    yield _sentence(began, *event_ids(*reading.run.events[:1]), "run")
    yield _sentence(answer["verdict"]["text"], *answer["verdict"]["evidence"])
    for entry in answer.get("tables", {"entries": ()})["entries"]:
        yield _sentence(f"Entry {_entry_text(entry)}.", "run")
    if chain["total"] > 1:
        links = [f"{link['step']} ({link['state']}, because of {link['because']})" for link in chain["links"][:5]]
        more = f", and {chain['total'] - len(links)} more" if chain["total"] > len(links) else ""
        yield _sentence(f"Failure chain: {'; '.join(links)}{more}.", *chain["evidence"])
    for writer in answer["written"]["writers"]:
        state = _STATES["partial" if writer["partial"] is None else writer["state"]]
        words = state.format(rows=writer["rows"] or 0, target=writer["target"] or "its target")
        yield _sentence(f"Writer {writer['step']} {words}.", *writer["evidence"])
    yield from _sentences_on_rows(answer)
    yield _changes_sentence(answer)
    yield _sentence(answer["retry"]["why"], *answer["retry"]["evidence"])


def _sentences_on_rows(answer: Answer) -> Iterator[dict[str, JsonValue]]:
    if lost := answer["rows"]["lost"]:
        named = "; ".join(f"{loss['step']} {loss['how']} {loss['rows']:,}" for loss in lost)
        yield _sentence(f"Rows that were not passed on: {named}.", *(f"step.{loss['step']}" for loss in lost))
    for group in (answer["row_errors"] or {"top": []})["top"]:
        where = f"column {group['column']}: " if group["column"] else ""
        text = f"Step {group['step']} rejected {group['count']:,} rows: {where}{group['reason']}."
        yield _sentence(text, group["id"])
    for finding in answer["findings"]:
        if finding["kind"] != "rows_rejected":
            yield _sentence(finding["text"], *finding["evidence"])


def _sentence(text: str, *evidence: str) -> dict[str, JsonValue]:
    return {"text": text, "evidence": list(dict.fromkeys(evidence))}


def _changes_sentence(answer: Answer) -> dict[str, JsonValue]:
    changes = answer["changes"]
    cited = [item["id"] for item in changes["top"]]
    if changes["base"] is None and not cited:
        return _sentence("No earlier success of this pipeline is on record to compare with.", "run")
    if changes["base"] and changes["rows_in"] is None:
        return _sentence(
            f"The last success, {changes['base']}, is no longer on record, so nothing can be compared.", "run"
        )
    since = f"since the last success, {changes['base']}" if changes["base"] else "since the plan was made"
    if not cited:
        return _sentence(f"No changes on record {since}.", *changes["evidence"])
    shown = "; ".join(str(item["text"]) for item in changes["top"][:3])
    more = f"; and {changes['total'] - 3} more" if changes["total"] > 3 else ""
    return _sentence(f"Changed {since}: {shown}{more}.", *cited[:3])
