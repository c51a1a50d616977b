"""The interface to models: what is requested, what may be answered, independent of any library.

One call, one typed answer. A `ModelRequest` is data; a provider makes its prompt from that. The answer is an untrusted
JSON value: `read_interest` and `read_request` of `request_json` parse it into a request, the relevant relations, a
question or a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.chat.choices import Choices
    from osiris.model import JsonValue

Purpose = Literal["intent", "synthesis", "regenerate"]
"""`intent`: which tables are relevant; `synthesis`: the pipeline; `regenerate`: the pipeline again, given its problems.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a conversation: provider, model, what may be assumed, and which rows the model may see.

    `provider`, `model` and `samples` (none, masked or raw) are None for the configured value; `out` is the folder for
    pipelines, None for output/, and `edits` the pipeline that the guide changes; both are relative to the project.
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
    """A message of the person or the agent; `about` is the key of the question that was asked."""

    role: Literal["person", "agent"]
    text: str
    about: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to a model: the messages so far, the choices, the previous draft (if any), and its problems.

    `problems` are diagnostics as JSON, of the compiler or of a failed run. With `fast` nothing is asked that can be
    assumed; a target or a column is never assumed.
    """

    purpose: Purpose
    messages: tuple[Message, ...]
    choices: Choices
    draft: Mapping[str, JsonValue] | None = None
    problems: tuple[Mapping[str, JsonValue], ...] = ()
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer used: tokens, requests sent (retries included), and its price in US dollars if known."""

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: the value, its usage, the model that gave it, and the prompt, for the record."""

    value: JsonValue
    model: str
    usage: Usage = Usage()
    sent: JsonValue = None


class Model(Protocol):
    """A model that proposes. `name` identifies it in records, as `anthropic:claude-sonnet-5-5`."""

    @property
    def name(self) -> str:
        """Provider and model."""
        ...

    def complete(self, request: ModelRequest) -> Answer:
        """Return the answer to a request; fails with LLM… if there is none (`Unavailable` if a retry may help)."""
        ...


LONGEST_SENTENCE = 500
"""Characters of a question, a reason or an assumption; longer ones are cut off."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that only the person can decide; `choices` may be empty, and any other reply is valid too."""

    about: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no proposal is possible, in words for the person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interest:
    """The relevant relations, by id."""

    tables: tuple[str, ...]


GROUNDING = "grounding"
"""Key of questions whose replies name nothing: who says no to a thing names it as well."""
REPLACE = "replace"
"""Key of questions whether data may be replaced; their replies name nothing either."""
MODE = "mode"
"""Key of the question for the write mode; its reply counts as the person's word."""

ACCEPT = "accept"
"""Key of the question that accepts a plan: the only one that `--yes` answers."""
