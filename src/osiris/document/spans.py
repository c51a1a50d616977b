"""Where each node of a YAML text begins and ends, so that one can be changed and all else stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from osiris.document.places import unescape
from osiris.document.reader import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator

Event: TypeAlias = Any
"""An event of PyYAML, none of which has types."""

Kind: TypeAlias = Literal["scalar", "list", "mapping"]
_KINDS: dict[str, Kind] = {"MappingStartEvent": "mapping", "SequenceStartEvent": "list"}


@dataclass(slots=True)
class Span:
    """A node from `start` up to `end`, without the white space and comments behind it; `style` is a scalar's sign.

    The entries of a mapping have a key each; a list's have none. `text` is a scalar's value.
    """

    kind: Kind
    start: int
    end: int
    flow: bool = False
    style: str | None = None
    text: str = ""
    entries: list[tuple[Span | None, Span]] = field(default_factory=list)

    def index(self, part: str) -> int:
        """Return the number of the entry of a key or an index; of a key that is there twice, the last.

        Raises LookupError.
        """
        if self.kind == "list":
            if not part.isdigit() or int(part) >= len(self.entries):
                raise LookupError(part)
            return int(part)
        found = [n for n, (key, _) in enumerate(self.entries) if key is not None and key.text == unescape(part)]
        if not found:
            raise LookupError(part)
        return found[-1]

    def find(self, pointer: str) -> Span:
        """Return the node at a JSON Pointer; raises LookupError."""
        node = self
        for part in pointer.split("/")[1:]:
            node = node.entries[node.index(part)][1]
        return node


def read_spans(text: str) -> Span:
    """Return the root of a text that libyaml can read; raises its errors, and LookupError for a text without a node."""
    import yaml

    events: Iterator[Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            return _node(text, event, events)
    raise LookupError(text)


def _node(text: str, event: Event, events: Iterator[Event], depth: int = 0) -> Span:
    """Return the node that begins with an event."""
    name, start = type(event).__name__, event.start_mark.index
    if depth > MAX_DEPTH:
        raise LookupError(f"more than {MAX_DEPTH} levels")
    if name in _KINDS:
        node = Span(_KINDS[name], start, event.end_mark.index, bool(event.flow_style))
        return _collection(text, node, events, depth + 1)
    end = start + len(text[start : event.end_mark.index].rstrip())
    return Span("scalar", start, end, style=getattr(event, "style", None), text=getattr(event, "value", ""))


def _collection(text: str, node: Span, events: Iterator[Event], depth: int) -> Span:
    for event in events:
        if type(event).__name__.endswith("EndEvent"):
            node.end = event.end_mark.index if node.flow else (node.entries[-1][1].end if node.entries else node.end)
            return node
        key = _node(text, event, events, depth) if node.kind == "mapping" else None
        node.entries.append((key, _node(text, next(events) if key else event, events, depth)))
    return node
