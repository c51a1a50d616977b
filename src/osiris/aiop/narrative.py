"""The same in sentences, each with what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.history.causes import event_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.history.reading import Reading
    from osiris.model import JsonValue

    Answer = dict[str, JsonValue]

_STATES = {
    "written": "wrote {rows:,} rows to {target}",
    "kept": "had written {rows:,} rows to {target} before, and was skipped",
    "nothing": "left {target} as it was",
    "unknown": "was cut off at work: {target} holds all of its rows or none, which is not known",
    "partial": "was cut off at work: {target} may hold a part of its rows",
}


def sentences_of(reading: Reading, answer: Answer) -> Iterator[dict[str, JsonValue]]:
    """Give the sentences: how it began, how it went, what was written, what is odd, what changed, what to do."""
    yield _sentence(_beginning(answer), *event_ids(*reading.run.events[:1]), "run")
    yield _sentence(answer["verdict"]["text"], *answer["verdict"]["evidence"])
    if answer["chain"]["total"] > 1:
        yield _sentence(_chain(answer), *answer["chain"]["evidence"])
    for writer in answer["written"]["writers"]:
        yield _sentence(_writing(writer), *writer["evidence"])
    if lost := answer["rows"]["lost"]:
        named = "; ".join(f"{loss['step']} {loss['how']} {loss['rows']:,}" for loss in lost)
        yield _sentence(f"Rows that were not passed on: {named}.", *(f"step.{loss['step']}" for loss in lost))
    for group in (answer["row_errors"] or {"top": []})["top"]:
        where = f"column {group['column']}: " if group["column"] else ""
        yield _sentence(
            f"{group['count']:,} rows of {group['step']} were set aside, {where}{group['reason']}.", group["id"]
        )
    for finding in answer["findings"]:
        if finding["kind"] != "rows_rejected":
            yield _sentence(finding["text"], *finding["evidence"])
    yield _changes(answer)
    yield _sentence(answer["retry"]["why"], *answer["retry"]["evidence"])


def _sentence(text: str, *evidence: str) -> dict[str, JsonValue]:
    return {"text": text, "evidence": list(dict.fromkeys(evidence))}


def _beginning(answer: Answer) -> str:
    run = answer["run"]
    how = f"continued run {run['continues']}" if run["continues"] else "began anew"
    return f"Run {run['session']} of pipeline {run['pipeline']} (plan {run['plan']}, {run['adapter']}) {how}."


def _chain(answer: Answer) -> str:
    chain = answer["chain"]
    shown = [f"{link['step']} ({link['state']}, because of {link['because']})" for link in chain["links"][:5]]
    more = f", and {chain['total'] - len(shown)} more" if chain["total"] > len(shown) else ""
    return f"From the cause to what it held up: {'; '.join(shown)}{more}."


def _writing(writer: dict[str, JsonValue]) -> str:
    state = "partial" if writer["partial"] is None else writer["state"]
    words = _STATES[state].format(rows=writer["rows"] or 0, target=writer["target"] or "its target")
    return f"Writer {writer['step']} {words}."


def _changes(answer: Answer) -> dict[str, JsonValue]:
    changes = answer["changes"]
    cited = [item["id"] for item in changes["top"]]
    if changes["base"] is None and not cited:
        return _sentence("No earlier success of this pipeline is known to compare with.", "run")
    if changes["base"] and changes["rows_in"] is None:
        return _sentence(f"Of the last success, {changes['base']}, nothing is left to compare with.", "run")
    since = f"since the last success, {changes['base']}" if changes["base"] else "since the plan was made"
    if not cited:
        return _sentence(f"Nothing is known to have changed {since}.", *changes["evidence"])
    shown = "; ".join(str(item["text"]) for item in changes["top"][:3])
    more = f"; and {changes['total'] - 3} more" if changes["total"] > 3 else ""
    return _sentence(f"Changed {since}: {shown}{more}.", *cited[:3])
