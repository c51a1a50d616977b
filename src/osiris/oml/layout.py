"""The canonical form of an OML file: the same data and comments in one layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.document.commented import read_commented, write
from osiris.errors import Location, fail
from osiris.oml.config import CONNECTION
from osiris.oml.parse import ENTRY_KEYS, FILE_KEYS, FROM_KEYS, STEP_KEYS, TO_KEYS, parse
from osiris.registry import RESERVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.document.commented import Entry, Node
    from osiris.model import ComponentSpec
    from osiris.registry import Registry


def format_oml(text: str, file: str, registry: Registry) -> str:
    """Return OML text in its canonical form; `file` is its name in messages.

    Keys have a fixed order; in a config it is that of the component's schema. Raises InvalidInput with every problem
    that prevents reading or formatting the text; the pipeline itself is not validated.
    """
    data = parse(text, file).data
    root = read_commented(text)
    _order(root.value, FILE_KEYS)
    for entry in _spaced(root.value.child("replicate")):
        _order(entry, ENTRY_KEYS)
        for name, keys in (("from", FROM_KEYS), ("to", TO_KEYS)):
            if part := entry.child(name):
                _order(part, keys)
    for step in _spaced(root.value.child("steps")):
        _order(step, STEP_KEYS)
        component, config = step.child("component"), step.child("config")
        spec = registry.find(component.text) if component is not None else None
        if spec is not None and config is not None:
            _lay_out_config(config, spec)
    result = write(root)
    if parse(result, file).data != data:  # where lists get lines of their own it may also have become too large
        fail("INT000", at=Location(file), kind="layout", reason="formatting would change its meaning")
    return result


def _spaced(items: Node | None) -> list[Node]:
    """Return the entries of a list, each laid out as a block, with a blank line between them."""
    if items is None or items.kind != "list":
        return []
    items.flow, items.spaced = False, True
    nodes = [entry.value for entry in items.entries]
    for node in nodes:
        node.flow = False
    return nodes


def _lay_out_config(config: Node, spec: ComponentSpec) -> None:
    properties = spec.config["properties"]
    _order(config, (CONNECTION, *properties, *RESERVED))
    for entry in config.entries:
        entry.value.tall = "x-sql" in properties.get(entry.key, {})
    checks = config.child("checks")
    for check in checks.entries if checks is not None and "checks" not in properties else ():
        if statement := check.value.child("sql"):
            statement.tall = True


def _order(node: Node, keys: Sequence[str]) -> None:
    """Put the known keys first, in their order, and extensions last."""
    places = {key: place for place, key in reversed(list(enumerate(keys)))}

    def place(entry: Entry) -> int:
        key = entry.key or ""
        return places.get(key, len(keys) + key.startswith("x-"))

    node.entries.sort(key=place)
