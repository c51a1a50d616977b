"""From the messages of a conversation to one request: replies answer their questions, further words change it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.chat.rules.query import Goal, Said
from osiris.chat.rules.reading import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.port import Message
    from osiris.chat.rules.goals import Places
    from osiris.chat.rules.lexicon import Lexicon

_SKIPPED = ("grounding",)
_SAID = {
    "target": "to {}",
    "mode": "{}",
    "key": "upsert key {}",
    "top": "by {}",
    "limit": "top {}",
    "order": "sorted by {}",
    "name": "table {}",
}
"""Questions whose reply is read as further words, and what stands around it."""

_IN_PLACE = ("word ", "time ", "year ", "which ")
_PICKED = re.compile(
    r"(table|column|label|date|measure|value|value of|nulls|keep|path|by|plain|empty|rows|same|count|edge|without|with"
    r"|order of|unit|happened) "
)
_NOTHING = frozenset(
    ("ignore", "ignore it", "skip", "skip it", "nothing", "never mind", "nevermind", "drop it", "leave it out")
)
_AGREED = frozenset(["yes", "y", "ok", "okay", "no", "n", "run", "save", "quit", "edit"])


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said: the texts in order, and the answers by the keys of their questions."""

    texts: tuple[str, ...]
    answers: dict[str, str]


def talk(messages: Sequence[Message]) -> Talk:
    """Return what the person said, each reply with its question."""
    texts: list[str] = []
    answers: dict[str, str] = {}
    pending: str | None = None
    for message in messages:
        if message.role == "agent":
            pending = message.about
            continue
        about, pending = message.about or pending, None
        text = " ".join(message.text.split())
        if about in _SKIPPED or (about == "accept" and text.lower() in _AGREED):
            continue
        if about == "accept":
            text = re.sub(r"^(no|nope|yes|ok|okay)\b[,.;: ]*", "", text, flags=re.IGNORECASE)
        _take(about or "", text, texts, answers)
    return Talk(tuple(texts), answers)


def _take(about: str, text: str, texts: list[str], answers: dict[str, str]) -> None:
    kind = next((each for each in _IN_PLACE if about.startswith(each)), None)
    if about in _SAID:
        texts.append(_SAID[about].format(text))
    elif kind and texts:
        _put(about.removeprefix(kind), text, kind, texts)
    elif texts and about and _PICKED.match(about):
        answers[about] = text
    else:
        texts.append(text)


def _put(word: str, text: str, kind: str, texts: list[str]) -> None:
    """Put a reply where the word stood that was not understood."""
    said = "" if text.strip(".!").lower() in _NOTHING else f"{word} {text}" if kind == "year " else text
    for number in range(len(texts) - 1, -1, -1):
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", texts[number], re.IGNORECASE)
        if found and kind != "which ":
            texts[number] = texts[number][: found.start()] + said + texts[number][found.end() :]
            return
    texts.append(said)


def request(talked: Talk, names: Lexicon, known: Places) -> Said:
    """Return all that was said as one request."""
    said = Said()
    for number, text in enumerate(talked.texts):
        following = read(text, names, known)
        said = following if number == 0 else changed(said, following, text)
    return said


def changed(said: Said, by: Said, text: str) -> Said:
    """Return a request as further words change it."""
    words = set(re.findall(r"\w+", text.lower()))
    instead = bool(words & {"instead", "rather"})
    only = instead or bool(words & {"only", "just"})
    joints = list(by.joints)
    outputs = list(by.outputs) if only and by.outputs else [*said.outputs, *by.outputs]
    if by.outputs and not said.outputs and words & {"add", "include", "also", "plus"}:
        outputs = [replace(each, added=True) for each in by.outputs]
    return Said(
        tables=said.tables + by.tables,
        outputs=outputs,
        aggregates=by.aggregates if instead and by.aggregates else said.aggregates + by.aggregates,
        groups=by.groups if instead and by.groups else said.groups + by.groups,
        conditions=by.conditions if instead and by.conditions else said.conditions + by.conditions,
        joints=joints if instead and by.conditions else said.joints + joints,
        orders=by.orders or said.orders,
        limit=by.limit if by.limit is not None else said.limit,
        bottom=by.bottom if by.limit is not None else said.bottom,
        ranked=said.ranked or by.ranked,
        distinct=said.distinct or by.distinct,
        counts=said.counts or by.counts,
        excluded=said.excluded + by.excluded,
        renamed=said.renamed + by.renamed,
        goal=_aim(said.goal, by.goal),
        sources=said.sources + by.sources,
        unread=said.unread + by.unread,
        refused=said.refused + by.refused,
        notes=said.notes + by.notes,
    )


def _aim(goal: Goal, by: Goal) -> Goal:
    moved = bool(by.paths or by.formats or by.places)
    kept = by if moved else goal
    return Goal(
        paths=kept.paths,
        formats=kept.formats,
        places=kept.places,
        table=by.table or goal.table,
        modes=by.modes or goal.modes,
        key=by.key or goal.key,
    )
