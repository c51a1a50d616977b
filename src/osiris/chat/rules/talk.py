"""From the messages of a conversation to one request: replies answer their questions, further words change it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.chat.rules.changing import changed
from osiris.chat.rules.query import Said
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
    r"|order of|unit|happened|end) "
)
_NOTHING = frozenset(
    ("ignore", "ignore it", "skip", "skip it", "nothing", "never mind", "nevermind", "drop it", "leave it out")
)
_AGREED = frozenset(["yes", "y", "ok", "okay", "no", "n", "run", "save", "quit", "edit"])

_CHANGE = re.compile(
    r"(?:please |and )?(?:only|just|as|to|into|by|per|add|also|sort|order|group|top|limit|drop|remove|without|rename|"
    r"exclude|with|write|append|replace|upsert)\b",
    re.IGNORECASE,
)
"""What a change begins with, rather than another word for a word."""

_PASSED = "'{}' was not understood and is passed over"
_UNDONE = "'{}' is left out, as it cannot be done"


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said: the texts in order, the answers by the keys of their questions.

    `replies` are the newest ones that were put into a text in place of a word, by the number of the text, each behind
    the text as it was at first.
    """

    texts: tuple[str, ...]
    answers: dict[str, str]
    replies: dict[int, tuple[str, str]]


def talk(messages: Sequence[Message]) -> Talk:
    """Return what the person said, each reply with its question."""
    texts: list[str] = []
    answers: dict[str, str] = {}
    replies: dict[int, tuple[str, str]] = {}
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
        _take(about or "", text, texts, answers, replies)
    return Talk(tuple(texts), answers, replies)


def _take(
    about: str, text: str, texts: list[str], answers: dict[str, str], replies: dict[int, tuple[str, str]]
) -> None:
    kind = next((each for each in _IN_PLACE if about.startswith(each)), None)
    if about in _SAID:
        texts.append(_SAID[about].format(text))
    elif kind and texts:
        _put(about.removeprefix(kind), text, kind, texts, replies)
    elif texts and about and _PICKED.match(about):
        answers[about] = text
    else:
        texts.append(text)


def _put(word: str, text: str, kind: str, texts: list[str], replies: dict[int, tuple[str, str]]) -> None:
    """Put a reply where the word stood that was not understood."""
    said = "" if text.strip(".!").lower() in _NOTHING else f"{word} {text}" if kind == "year " else text
    for number in range(len(texts) - 1, -1, -1):
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", texts[number], re.IGNORECASE)
        if found and kind != "which ":
            whole = texts[number]
            texts[number] = whole[: found.start()] + said + whole[found.end() :]
            replies[number] = (replies.get(number, (whole,))[0], text)
            return
    texts.append(said)


def request(talked: Talk, names: Lexicon, known: Places) -> Said:
    """Return all that was said as one request; a change that was not understood counts only while it is the last."""
    said = Said()
    for number, text in enumerate(talked.texts):
        following = read(text, names, known)
        if number == 0:
            said = following
            continue
        text, following = _understood(text, talked.replies.get(number), following, names, known)
        if said.refused:
            said = _refused_before(said, following)
        if number == len(talked.texts) - 1 or not (following.unread or following.refused):
            said = changed(said, following, text, names, known)
        else:
            said.notes.append(_PASSED.format(text))
    return said


def _refused_before(said: Said, following: Said) -> Said:
    """Return what is left of a request that was refused: nothing if other words name a table or what to compute."""
    notes = [*said.notes, *(_UNDONE.format(words) for _, words in said.refused)]
    if following.tables or following.outputs or following.aggregates:
        return Said(notes=notes)
    return replace(said, refused=[], notes=notes)


def _understood(
    text: str, replied: tuple[str, str] | None, following: Said, names: Lexicon, known: Places
) -> tuple[str, Said]:
    """Return a change, or the reply to a question about it where that is another change, and it is not understood."""
    if replied is None or not following.unread or not _CHANGE.match(replied[1]):
        return text, following
    before, reply = replied
    alone = read(reply, names, known)
    if alone.unread or alone.refused:
        return text, following
    alone.notes.append(_PASSED.format(before))
    return reply, alone
