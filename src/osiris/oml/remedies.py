"""What mends a mistake, where that is known exactly: names that were meant, values in the right type, defaults."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING

from osiris.document import join
from osiris.document.edits import add, drop, put, rename
from osiris.errors import Diagnostic, diagnostic, nearest
from osiris.registry import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.errors import Fix, Location
    from osiris.model import ComponentSpec, JsonValue, Step
    from osiris.registry import Registry

Names = dict[str, tuple[str, ...]]

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
"""What other tools call the keys of a file and of a step."""

_MEANINGLESS = ("outputs",)
"""Keys that are near to another one, and mean nothing of the kind."""

_EXTENSIBLE = re.compile(r"(/steps/[0-9]+)?")
_PAIR = re.compile(r"([a-z_]+)(?::|\s+)(\S.*)")
"""One key and its value, which lack the colon between them or the space behind it."""
_DURATION = re.compile(r"([0-9]+) *(s|m|h)[a-z]*\.?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_WORDS = {"true": True, "false": False}


def meant_key(key: str, known: Iterable[str], aliases: Mapping[str, str]) -> str | None:
    """Return the known key that an unknown one is another name or a misspelling of."""
    names = list(known)
    other = aliases.get(key)
    return other if other in names else nearest(key, names)


def for_unknown_key(pointer: str, key: str, meant: str | None, present: Mapping[str, JsonValue]) -> Fix:
    """Return what mends an unknown key: the name that was meant, that of an extension, or nothing in its place."""
    at = join(pointer, key)
    if key in _MEANINGLESS:
        meant = None
    if meant is not None:
        return drop(at) if meant in present else rename(at, meant)
    return rename(at, f"x-{join('', key)[1:]}") if _EXTENSIBLE.fullmatch(pointer) else drop(at)


def for_misplaced_key(pointer: str, key: str, step: Mapping[str, JsonValue]) -> Fix:
    """Return what moves a key of a step into its config, where there is one that does not have it yet."""
    config = step.get("config")
    if not isinstance(config, dict) or key in config:
        return ()
    return (*add(join(f"{pointer}/config", key), step[key]), *drop(join(pointer, key)))


def for_missing_key(pointer: str, key: str, present: Mapping[str, JsonValue], meant: Mapping[str, str | None]) -> Fix:
    """Return what mends a missing key if one that is there was meant to be it; `meant` has that by unknown key."""
    old = next((unknown for unknown, name in meant.items() if name == key and unknown in present), None)
    return rename(join(pointer, old), key) if old is not None else ()


def for_wrong_type(pointer: str, value: JsonValue, kinds: Iterable[str]) -> Fix:
    """Return the value in one of the types of JSON Schema, where it says the same in it."""
    wanted = {*kinds}
    if value is None:
        return drop(pointer)
    if isinstance(value, str):
        return _from_text(pointer, value, wanted)
    if "string" in wanted and isinstance(value, (bool, int)):
        return put(pointer, json.dumps(value))
    if pointer.endswith("/inputs") and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return put(pointer, {_plain(each): f"@{each.lstrip('@')}" for each in value})
    if pointer == "/steps" and isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()):
        return put(pointer, [{"id": name, **step} for name, step in value.items()])
    return ()


def _from_text(pointer: str, value: str, wanted: set[str]) -> Fix:
    if {"integer", "number"} & wanted and _INTEGER.fullmatch(value):
        return put(pointer, int(value))
    if "boolean" in wanted and value.lower() in _WORDS:
        return put(pointer, _WORDS[value.lower()])
    if "array" in wanted:
        return put(pointer, [part.strip() for part in value.split(",") if part.strip()])
    pair = _PAIR.fullmatch(value) if "object" in wanted else None
    return put(pointer, {pair[1]: pair[2]}) if pair else ()


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name.lstrip("@"))


def for_limit(pointer: str, value: JsonValue, rule: str, limit: JsonValue) -> Fix:
    """Return the value nearest to what a limit allows, or an amount of time as it is written here."""
    if rule == "anyOf" and isinstance(value, str) and (amount := _DURATION.fullmatch(value.lower())):
        return put(pointer, amount[1] + amount[2])
    return put(pointer, limit) if rule in ("minimum", "maximum") else ()


def near_component(name: str, names: Iterable[str], family: str | None = None) -> str | None:
    """Return the component that a name is meant to be: the one of that kind, if there is one only, else the nearest.

    `family` is that of the step's connection.
    """
    known = list(names)
    if f"{family}.{name.lower()}" in known:
        return f"{family}.{name.lower()}"
    kind = [each for each in known if each.partition(".")[2] == name.lower()]
    return kind[0] if len(kind) == 1 else nearest(name, known)


def file_name(file: str) -> str:
    """Return the name that a file gives its pipeline where that has none."""
    stem = file.rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:64] or "pipeline"


class SpareIds:
    """Ids for steps of a file that have none of their own: the one that others need and nobody has, else new ones."""

    def __init__(self, steps: JsonValue) -> None:
        texts = [step for step in (steps if isinstance(steps, list) else ()) if isinstance(step, dict)]
        self._taken = {step["id"] for step in texts if isinstance(step.get("id"), str)}
        lists = [step["needs"] for step in texts if isinstance(step.get("needs"), list)]
        needed = dict.fromkeys(need for needs in lists for need in needs if isinstance(need, str))
        self._lost = [need for need in needed if need not in self._taken]

    def get(self, wish: str) -> str:
        """Return an id; `wish` itself if it is free."""
        if len(self._lost) == 1:
            return self._lost[0]
        wishes = chain([wish], (f"{wish}_{number}" for number in range(2, len(self._taken) + 3)))
        return next(name for name in wishes if name not in self._taken)


def wrong_mode(step: Step, spec: ComponentSpec, registry: Registry, at: Location) -> Diagnostic:
    """Return what is to be said of a mode that a step's component does not have.

    Mended by the component's mode, or by the component of that mode where the step goes with that one only.
    """
    other = _counterpart(spec, step.mode, registry)
    if other is not None and _fits(step, other) and not _fits(step, spec):
        fix = put(f"{step.pointer}/component", other.name)
    else:
        fix = put(f"{step.pointer}/mode", spec.modes[0]) if len(spec.modes) == 1 else ()
    return diagnostic("CMP003", at=at, fix=fix, component=spec.name, mode=step.mode, modes=", ".join(spec.modes))


def _counterpart(spec: ComponentSpec, mode: str, registry: Registry) -> ComponentSpec | None:
    """Return the component of a family that does in another mode what this one does, as a writer is to its reader."""
    stem = spec.name.rpartition("_")[0] or f"{spec.family}."
    found = [each for each in registry.all() if each.name.startswith(stem) and each.family == spec.family]
    return next((each for each in found if mode in each.modes and each.name != spec.name), None)


def _fits(step: Step, spec: ComponentSpec) -> bool:
    """Tell whether a step has options that a component knows, and input if that takes any."""
    known = {*spec.config["properties"], *spec.hints.get("synonyms", {}), *RESERVED}
    return (
        step.config.keys() <= known
        and (not step.needs or spec.inputs[1] != 0)
        and bool(step.needs or not spec.inputs[0])
    )
