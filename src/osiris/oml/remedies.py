"""Exact fixes: intended names, values converted to the right type, defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING

from osiris.document import join
from osiris.document.edits import add, drop, put, rename
from osiris.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Fix
    from osiris.model import JsonValue

Names = dict[str, tuple[str, ...]]
Like = Callable[[str, Iterable[str]], str | None]
"""Returns the name that is most similar, if any."""

OTHER_NAMES: Names = {
    "oml_version": ("version", "oml", "api_version"),
    "name": ("pipeline", "title"),
    "params": ("parameters", "variables", "vars"),
    "steps": ("tasks", "stages", "jobs", "nodes"),
    "id": ("name", "step", "step_id", "key"),
    "component": ("type", "kind", "uses", "operator", "plugin"),
    "mode": ("action", "operation"),
    "needs": ("depends_on", "dependsOn", "dependencies", "after", "requires", "upstream"),
    "config": ("with", "options", "settings", "args", "configuration"),
    "inputs": ("input", "sources", "from"),
}
"""Names that other tools use for the keys of a file and of a step."""

_PROSE = ("author", "comment", "comments", "contact", "notes", "owner", "team", "todo")
"""Keys with prose for people: only these become extension keys."""

_EXTENSIBLE = re.compile(r"(/steps/[0-9]+)?")
_PAIR = re.compile(r"([a-z_]+)(?::|\s+)(\S.*)")
"""A key and its value without the colon between them or the space after it."""
_DURATION = re.compile(r"([0-9]+) *(s|m|h|d)(ecs?|econds?|ins?|inutes?|rs?|ours?|ays?)?\.?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_WORDS = {"true": True, "false": False}


def for_unknown_key(pointer: str, key: str, name: str | None, present: Mapping[str, JsonValue]) -> Fix:
    """Return the fix of an unknown key: its certain name, or an extension key if it is prose.

    Any other unknown key stays: it might say what the step should do.
    """
    at = join(pointer, key)
    if name is not None and name in present:
        return drop(at) if present[name] == present[key] else ()
    if name is not None:
        return rename(at, name)
    return rename(at, f"x-{key}") if key in _PROSE and _EXTENSIBLE.fullmatch(pointer) else ()


def for_misplaced_key(pointer: str, key: str, keys: Iterable[str], step: Mapping[str, JsonValue]) -> Fix:
    """Return the fix that moves a key of a step into its config, unless the config has it already.

    If there is no config yet, all `keys` that belong there are moved together.
    """
    config, at = step.get("config", {}), f"{pointer}/config"
    if not isinstance(config, dict) or key in config or any(other in step for other in OTHER_NAMES["config"]):
        return ()
    if "config" in step:
        return (*drop(join(pointer, key)), *add(join(at, key), step[key]))
    moved = {each: step[each] for each in keys}
    return (*(change for each in moved for change in drop(join(pointer, each))), *add(at, moved))


def for_wrong_type(pointer: str, value: JsonValue, kinds: Iterable[str]) -> Fix:
    """Return the fix that converts a value to one of the JSON Schema types, if that is lossless."""
    types = {*kinds}
    if value is None:
        return drop(pointer)
    if isinstance(value, str):
        return _from_text(pointer, value, types)
    if "string" in types and isinstance(value, (bool, int)):
        return put(pointer, json.dumps(value))
    return _from_collection(pointer, value)


def _from_collection(pointer: str, value: JsonValue) -> Fix:
    if pointer.endswith("/inputs") and _has_shape(value, list, str):
        return put(pointer, {re.sub(r"[^A-Za-z0-9_]", "_", each.lstrip("@")): f"@{each.lstrip('@')}" for each in value})
    if pointer == "/steps" and _has_shape(value, dict, dict):
        return put(pointer, [{"id": name, **step} for name, step in value.items()])
    return ()


def _has_shape(value: JsonValue, container: type, part: type) -> bool:
    """Tell whether a value is a list or mapping whose parts all have a type."""
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, container) and all(isinstance(each, part) for each in parts)


def _from_text(pointer: str, value: str, types: set[str]) -> Fix:
    if {"integer", "number"} & types and _INTEGER.fullmatch(value):
        return put(pointer, int(value))
    if "boolean" in types and value.lower() in _WORDS:
        return put(pointer, _WORDS[value.lower()])
    if "array" in types:
        return put(pointer, [part.strip() for part in value.split(",") if part.strip()])
    pair = _PAIR.fullmatch(value) if "object" in types else None
    return put(pointer, {pair[1]: pair[2]}) if pair else ()


def for_limit(pointer: str, value: JsonValue, rule: str, limit: JsonValue) -> Fix:
    """Return the nearest allowed value, or a duration in our notation.

    Which rows are read is never changed.
    """
    if rule in ("anyOf", "pattern") and isinstance(value, str) and (amount := _DURATION.fullmatch(value.lower())):
        duration = amount[1] + amount[2]
        return put(pointer, duration) if rule == "anyOf" or re.search(limit, duration) else ()
    is_shared = pointer.split("/")[4:5] in (["retry"], ["timeout"])
    return put(pointer, limit) if rule in ("minimum", "maximum") and is_shared else ()


def file_name(file: str) -> str:
    """Return a pipeline name derived from a file name."""
    stem = file.rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:64] or "pipeline"


def mappings(steps: JsonValue) -> list[dict[str, JsonValue]]:
    """Return the written steps that are mappings."""
    return [step for step in (steps if isinstance(steps, list) else ()) if isinstance(step, dict)]


def ids_of(steps: JsonValue) -> list[str]:
    """Return the ids of all written steps, including broken ones."""
    return [step["id"] for step in mappings(steps) if isinstance(step.get("id"), str)]


class SpareIds:
    """Ids for steps without one: the id that others need and no step has, else new ones."""

    def __init__(self, steps: JsonValue) -> None:
        self._taken = {*ids_of(steps)}
        lists = [step["needs"] for step in mappings(steps) if isinstance(step.get("needs"), list)]
        needed = dict.fromkeys(need for needs in lists for need in needs if isinstance(need, str))
        self._lost = [need for need in needed if need not in self._taken]

    def get(self, wish: str) -> str:
        """Return an unused id; `wish` itself if it is free."""
        if len(self._lost) == 1 and not nearest(self._lost[0], self._taken):
            return self._lost[0]
        wishes = chain([wish], (f"{wish}_{number}" for number in range(2, len(self._taken) + 3)))
        return next(name for name in wishes if name not in self._taken)
