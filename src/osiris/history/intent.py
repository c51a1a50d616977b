"""What a pipeline is for: as somebody wrote it down or asked for it, else as its ends suggest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from osiris.history.causes import clip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.history.reading import Reading
    from osiris.model import JsonValue

_TEXT, _EXCERPT = 500, 160


class Source(NamedTuple):
    """Something that says what a pipeline is for, how far to trust it, and what it says."""

    name: str
    trust: str
    text: str


class Intent(NamedTuple):
    """What a pipeline is for; `sources` say it, the one that won first."""

    sources: tuple[Source, ...]

    @property
    def text(self) -> str:
        """What the source says that won."""
        return clip(self.sources[0].text, _TEXT)

    @property
    def known(self) -> bool:
        """Tell whether somebody wrote it down; else it is inferred from the steps."""
        return self.sources[0].name != "inferred"

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as it stands in narrative.intent."""
        told = [{"source": s.name, "trust": s.trust, "excerpt": clip(s.text, _EXCERPT)} for s in self.sources]
        return {"text": self.text, "known": self.known, "provenance": list(told)}


def intent_of(reading: Reading) -> Intent:
    """Return what the pipeline of a run is for."""
    found = tuple(_written(reading))
    return Intent(found or (Source("inferred", "low", _inferred(reading)),))


def _written(reading: Reading) -> Iterator[Source]:
    plan = reading.run.plan
    about: Mapping[str, JsonValue] = plan.data["pipeline"] if plan else {}
    intent = (about.get("metadata") or {}).get("intent")
    if isinstance(intent, str) and intent.strip():
        yield Source("metadata.intent", "high", intent)
    if about.get("description"):
        yield Source("description", "high", str(about["description"]))
    if reading.conversation and reading.conversation.get("title"):
        yield Source("conversation", "medium", reading.clean(str(reading.conversation["title"])))


def _inferred(reading: Reading) -> str:
    steps = reading.run.steps
    ends = {mode: sorted({step.component for step in steps if step.mode == mode}) for mode in ("read", "write")}
    read, write = (", ".join(names) or "nowhere" for names in ends.values())
    return f"Moves rows from {read} to {write}."
