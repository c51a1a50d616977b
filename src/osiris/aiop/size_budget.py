"""Fits a document into its size limit: cited items stay, the rest is taken by priority, omissions are reported."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from osiris.model import JsonValue

    Document = dict[str, JsonValue]

PRIORITY = (
    "narrative.sentences",
    "delta.changes",
    "evidence.errors",
    "evidence.steps",
    "evidence.row_errors",
    "evidence.outputs",
    "metadata.config",
    "semantic.metadata",
    "metadata.settings",
    "metadata.primer.glossary",
    "semantic.nodes",
    "semantic.edges",
    "delta.outputs",
    "delta.steps.rows",
    "evidence.artifacts",
    "semantic.components",
    "evidence.timeline",
    "semantic.lineage",
    "evidence.metrics",
)
"""The lists that may be cut, the last one first."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: `json.dumps` would make one for each of thousands of values."""

_SHOWN = {"delta.steps.rows": "delta.steps"}


@dataclass(slots=True)
class Section:
    """One list of the document; its items are taken in the order of `weight`.

    With `pairs` it is an object whose items are key-value pairs. `beyond` counts further items, none of which would
    fit.
    """

    name: str
    items: Sequence[JsonValue]
    weight: Callable[[JsonValue], int] | None = None
    pairs: bool = False
    beyond: int = 0
    taken: set[int] = field(default_factory=set)

    def order(self) -> list[int]:
        """Return the positions of the items, most relevant first."""
        numbers = range(len(self.items))
        weigh = self.weight
        return list(numbers) if weigh is None else sorted(numbers, key=lambda number: weigh(self.items[number]))

    @property
    def total(self) -> int:
        """How many items there are."""
        return len(self.items) + self.beyond

    def cut(self) -> Document | None:
        """Return the report on a cut list; None if it is complete."""
        left_out = self.total - len(self.taken)
        name = _SHOWN.get(self.name, self.name)
        return {"section": name, "kept": len(self.taken), "left_out": left_out} if left_out else None


class Filler:
    """Takes items into sections while they fit, each with the items it cites."""

    def __init__(self, sections: Sequence[Section], room: int) -> None:
        self._sections = {section.name: section for section in sections}
        self._room = room
        self._places = {
            item["id"]: (section, number)
            for section in sections
            for number, item in enumerate(section.items)
            if isinstance(item, dict) and "id" in item
        }

    def pin(self, value: JsonValue) -> None:
        """Take everything that a part of the document cites, regardless of size."""
        for place in self._cited(value):
            self._take([place])

    def fill(self) -> None:
        """Take items by priority while they fit."""
        for name in PRIORITY:
            section = self._sections[name]
            for number in section.order():
                if number in section.taken:
                    continue
                places = [(section, number), *self._cited(section.items[number])]
                if not self._take(places, within=self._room):
                    break

    def _cited(self, value: JsonValue) -> list[tuple[Section, int]]:
        return [self._places[name] for name in dict.fromkeys(cited_ids(value)) if name in self._places]

    def _take(self, places: list[tuple[Section, int]], within: int | None = None) -> bool:
        fresh = [(section, number) for section, number in places if number not in section.taken]
        cost = sum(size_of(section.items[number]) + 1 for section, number in fresh)
        if within is not None and cost > within:
            return False
        for section, number in fresh:
            section.taken.add(number)
        self._room -= cost
        return True


def cited_ids(value: JsonValue) -> Iterator[str]:
    """Yield the evidence ids cited by a part of the document, and the ids of its changes and groups."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "evidence" and isinstance(item, list):
                yield from item
            elif key == "top":
                yield from (each["id"] for each in item)
            else:
                yield from cited_ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from cited_ids(item)


def size_of(value: JsonValue) -> int:
    """Return how many bytes a value takes in the document."""
    return len(compact(value).encode("utf-8", "backslashreplace"))


def compact(value: JsonValue) -> str:
    """Return a value as JSON without white space."""
    return _ENCODER.encode(value)


def place(document: Document, section: Section) -> None:
    """Put the taken items into the document."""
    *path, last = section.name.split(".")
    holder: Document = document
    for name in path:
        holder = holder[name]
    taken = [section.items[number] for number in sorted(section.taken)]
    holder[last] = dict(taken) if section.pairs else taken
