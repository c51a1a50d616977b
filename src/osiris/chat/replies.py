"""What the agent says, and the short replies that it understands without a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.chat.choices import one_line
from osiris.chat.environment import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.model import JsonValue

    Diagnostics = Sequence[Mapping[str, JsonValue]]

NOTHING_TO_READ = (
    "There is nothing to read here: no connection answers, and the project has no data files. "
    "Declare a connection in osiris_connections.yaml or name a file."
)
NOTHING_DONE = "Nothing was saved or run. Say what to change, or quit."
PLAN_CHANGED = "A source has changed meanwhile, so the plan is another one; it was not run. Say 'again' to see it."
EDITS_END = "What you edited is not kept: the next proposal starts from the draft before it."
INSTEAD = "Say what to use instead."
ACCEPTING = ("yes", "save", "edit", "no")

_MOST = 5
_LINE = 400

_SHORT = {
    "yes": (
        *("y", "yes", "ok", "okay", "sure", "run", "go", "accept", "approve", "approved", "execute", "yep", "yeah"),
        *("run it", "go ahead", "go on", "looks good", "do it", "yes please", "yes run", "yes run it"),
    ),
    "no": ("n", "no", "nope", "reject", "cancel", "stop"),
    "quit": ("quit", "exit", "bye", ":q"),
    "save": ("save", "save only", "save it", "only save", "just save"),
    "edit": ("edit",),
    "again": ("again", "retry", "try again", "run again", "run it again", "once more"),
    "new": ("new", "start over", "new pipeline"),
}
"""Replies that are understood without a model, by meaning."""


def accept(short: str) -> str:
    """Return the question about a plan, named by the start of its fingerprint."""
    return f"Run plan {short}? 'save' only saves it, 'edit' opens it, and other words change it."


def read_back(checked: Mapping[str, JsonValue]) -> list[str]:
    """Return the lines that describe the outputs of a plan."""
    outputs = checked["plan"].get("read_back") or ()
    return [str(line).strip() for output in outputs for line in output["lines"]]


def changes(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return the removed lines and the added ones, marked `-` and `+`."""
    removed = [f"- {line}" for line in before if line not in now]
    return removed + [f"+ {line}" for line in now if line not in before]


def still_missing(question: str) -> str:
    """Return the reply once the model has asked its limit of questions."""
    return f"I still cannot go on without this: {question} Say all of it in one sentence, please."


def silent(sources: Mapping[str, Mapping[str, JsonValue]], words: str = "") -> str:
    """Return which sources cannot be read, and why; those that the words do not name share one line."""
    named = {name: item for name, item in sources.items() if _is_named(name, words)}
    others = [name for name in sources if name not in named]
    if len(others) == 1:
        named |= {others[0]: sources[others[0]]}
    lines = [f"{one_line(name, 200)} cannot be read and is left out: {_line_of(item)}" for name, item in named.items()]
    if others[1:]:
        codes = ", ".join(sorted({str(sources[name]["code"]) for name in others}))
        listed = one_line(", ".join(others), _LINE)
        lines.append(f"{len(others)} sources that you did not name cannot be read and are left out ({codes}): {listed}")
    return "\n".join(lines)


def _is_named(source: str, words: str) -> bool:
    """Tell whether words contain a source: its reference, alias or path."""
    alias = source.partition(".")[2] if source.startswith("@") else source
    text = words.casefold()
    return source.casefold() in text or re.search(rf"(?<!\w){re.escape(alias.casefold())}(?!\w)", text) is not None


def outside(problems: Diagnostics) -> str:
    """Return which files of a plan are outside the project; empty if none is."""
    return "\n".join(one_line(item["message"], _LINE) for item in problems if item["code"] == OUTSIDE)


def remaining_errors(problems: Diagnostics) -> str:
    """Return what is still wrong with a draft."""
    return f"{_listed('This does not work yet:', problems)}\nSay it in other words, or 'edit' the draft."


def errors_of(problems: Diagnostics) -> tuple[Mapping[str, JsonValue], ...]:
    """Return the diagnostics that are errors."""
    return tuple(item for item in problems if item["severity"] == "error")


def run_failed(result: Mapping[str, JsonValue]) -> str:
    """Return how a run failed, and what can be done."""
    text = _listed(f"The run {result['status']}:", errors_of(result["diagnostics"]))
    return f"{text}\nSay how to fix it, 'again', or 'edit'."


def _listed(head: str, problems: Diagnostics) -> str:
    more = len(problems) - _MOST
    lines = [f"  {_line_of(item)}" for item in problems[:_MOST]] + ([f"  … and {more} more"] if more > 0 else [])
    return "\n".join([head, *lines])


def _line_of(item: Mapping[str, JsonValue]) -> str:
    hint = f" ({one_line(item['hint'], _LINE)})" if item["hint"] else ""
    return f"{item['code']} {one_line(item['message'], _LINE)}{hint}"


def chosen(words: str, choices: Sequence[str]) -> str:
    """Return the choice that is meant, by number or case-insensitive text; else the words."""
    numbered = {str(number): choice for number, choice in enumerate(choices, 1)}
    return numbered.get(words) or next((each for each in choices if each.casefold() == _normalized(words)), words)


def meaning(words: str) -> str | None:
    """Return what short words mean: yes, no, quit, save (without a run), edit, again, new; None for all others."""
    return next((each for each, spelled in _SHORT.items() if _normalized(words) in spelled), None)


def has_path(words: str) -> bool:
    """Tell whether the words may name a file."""
    return re.search(r"[\w*]/[\w*]|\w\.(csv|tsv|json|jsonl|ndjson|parquet)\b", words, re.IGNORECASE) is not None


def _normalized(words: str) -> str:
    return " ".join(re.sub(r"[.,!]", " ", words).casefold().split())
