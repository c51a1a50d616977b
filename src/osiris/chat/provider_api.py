"""What a model is asked and what it may answer, and the port to it, behind a library.

One call, one typed answer. What is asked of it stands in `ModelRequest` as data; a provider that needs a text makes it
of that. What comes back is a JSON value, not yet believed: `read_interest` and `read_request` of `request_json` read
it, as a request, the relations that matter, a question or a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.chat.choices import Choices
    from osiris.model import JsonValue

Purpose = Literal["intent", "synthesis", "regenerate"]
"""`intent`: which tables matter; `synthesis`: the pipeline; `regenerate`: the pipeline again, given what was wrong."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a conversation is held: who proposes, what may be assumed, and what of rows may be shown to it.

    `provider`, `model` and `samples` (none, masked or raw) are None for what is configured; `out` is where pipelines
    are saved, None for output/, and `edits` the pipeline that the guide changes, both from the project's folder.
    """

    provider: str | None = None
    model: str | None = None
    fast: bool = False
    pro_mode: bool = False
    samples: str | None = None
    out: str | None = None
    edits: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """Something that was said, by the person or by the agent; `about` is the key of the question that was asked."""

    role: Literal["person", "agent"]
    text: str
    about: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What is asked: the talk so far, what may be chosen, the draft before (if any), and what was wrong with it.

    `problems` are diagnostics as JSON, of the compiler or of a run that failed. With `fast` nothing is asked that can
    be assumed; a target or a column is never assumed.
    """

    purpose: Purpose
    messages: tuple[Message, ...]
    choices: Choices
    draft: Mapping[str, JsonValue] | None = None
    problems: tuple[Mapping[str, JsonValue], ...] = ()
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took: tokens, requests that were sent (retries too), and its price in US dollars if known."""

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the value, what it took, which model gave it, and what was sent to it, for the record."""

    value: JsonValue
    model: str
    usage: Usage = Usage()
    sent: JsonValue = None


class Model(Protocol):
    """Whoever proposes. `name` tells it in records, as `anthropic:claude-sonnet-5-5`."""

    @property
    def name(self) -> str:
        """Provider and model."""
        ...

    def complete(self, request: ModelRequest) -> Answer:
        """Return the answer to a request; fails with LLM… if none can be had (`Unavailable` if it may work later)."""
        ...


LONGEST_SAID = 500
"""Characters of a question, a reason or an assumption; what is longer is cut off."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only the person can decide; `choices` may be empty, and any other reply is as good."""

    about: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing can be proposed, in words for the person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interest:
    """The relations that matter, by id."""

    tables: tuple[str, ...]


GROUNDING = "grounding"
"""Key of the questions whose replies name nothing: who says no to a thing names it as well."""
REPLACE = "replace"
"""Key of the questions whether data may be replaced; their replies name nothing either."""
MODE = "mode"
"""Key of the question for how rows go into a table; the reply is a word of the person as any other."""

ACCEPT = "accept"
"""Key of the question that accepts a plan: the only one that `--yes` answers."""
