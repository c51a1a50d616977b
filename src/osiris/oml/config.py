"""A step's config: old spellings converted, parameters substituted, and validated against the component's schema."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from osiris.codes import CODES
from osiris.connections import parse_ref
from osiris.document import Document, join, kind_of
from osiris.document.edits import drop, put
from osiris.errors import Fix, OsirisError, diagnostic, did_you_mean, nearest
from osiris.families.type_compat import EARLIER_TYPES
from osiris.oml.schema import KeyNames, schema_problems, shown_value
from osiris.registry import UNSUPPORTED_RESERVED
from osiris.secret import literal_secret_kind
from osiris.types import is_type_name, meant_type, unknown_type

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from osiris.model import ComponentSpec, ConnectionRef, JsonValue
    from osiris.oml.placeholders import Substitution
    from osiris.registry import Registry

MAX_PROBLEMS = 100
RETRIABLE = (
    "unavailable",
    *(code for code, row in CODES.items() if code.startswith(("CON", "SQL", "DAT", "DRV")) and row.severity == "error"),
)
"""Values that `retry.on` accepts: errors that drivers raise, but neither timeouts nor out of memory."""

CONNECTION = "connection"
_BARE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?")
"""A reference without its `@`."""

_SINCE = {"checks": "0.2.0", "cursor": "0.3.0", "deletes": "0.3.0"}
"""Shared config keys added after the first version, with the version that added each."""

_FIRST = "0.1.0"
_BOUNDED = ("row_count", "range")
"""Checks with a minimum and a maximum."""

_INSTEAD = {
    "deterministic": "set run.threads to 1",
}


def needed_version(config: Mapping[str, JsonValue]) -> str:
    """Return the oldest version of the language that has all keys of a config."""
    return max((_SINCE[key] for key in _SINCE.keys() & config.keys()), default=_FIRST)


class Configs:
    """Validates the configs of one document, with one schema per component; problems go to `substitution`."""

    def __init__(
        self, document: Document, registry: Registry, substitution: Substitution, defaults: Mapping[str, JsonValue]
    ) -> None:
        self.substitution = substitution
        self._document = document
        self._registry = registry
        self._defaults = defaults
        self._schemas: dict[str, dict[str, JsonValue]] = {}
        self._noted: set[str] = set()

    def config(
        self, text: Mapping[str, JsonValue], pointer: str, spec: ComponentSpec | None
    ) -> tuple[dict[str, JsonValue], ConnectionRef | None]:
        """Return the config and the connection of a step as written; `spec` is None if the component is unknown."""
        original = text.get("config", {})
        if not isinstance(original, dict):
            return {}, None
        pointer = f"{pointer}/config"
        config = dict(original)
        connection = self._connection(config, pointer)
        if spec is None:
            return config, connection
        absent = {key: note for key, note in spec.hints.get("differs", {}).items() if key not in original}
        present = {key: note for key, note in spec.hints.get("newly", {}).items() if key in original}
        for note in (*absent.values(), *present.values()):
            if note not in self._noted:
                self._noted.add(note)
                self._add("OML032", pointer, what=note)
        return self._checked(spec, config, pointer), connection

    def _connection(self, config: dict[str, JsonValue], pointer: str) -> ConnectionRef | None:
        """Remove the reference from a config and parse it."""
        if CONNECTION not in config:
            return None
        at = f"{pointer}/{CONNECTION}"
        text = self.substitution.value(config.pop(CONNECTION), at)
        if not isinstance(text, str):
            hint = 'declare it in osiris_connections.yaml, and name it here: connection: "@family.alias"'
            self._add("OML006", at, hint=hint, key=CONNECTION, expected="text", found=kind_of(text))
            return None
        try:
            return parse_ref(text)
        except OsirisError:
            display = "this text" if literal_secret_kind(CONNECTION, text) else f"'{text[:60]}'"
            self._add("CON006", at, fix=put(at, f"@{text}") if _BARE.fullmatch(text) else (), text=display)
            return None

    def _checked(self, spec: ComponentSpec, config: dict[str, JsonValue], pointer: str) -> dict[str, JsonValue]:
        properties: Mapping[str, Mapping[str, JsonValue]] = spec.config["properties"]
        config = self._normalised(spec, config, pointer)
        self._reject_keys(config, properties, pointer)
        config = {**{key: value for key, value in self._defaults.items() if key not in config}, **config}
        dialects = {key: schema["x-sql"] for key, schema in properties.items() if "x-sql" in schema}
        checks = None if "checks" in properties else config.pop("checks", None)
        config = self.substitution.config(config, pointer, dialects)
        if checks is not None:
            config["checks"] = checks = self._with_values(checks, f"{pointer}/checks")
        also = () if spec.connection == "none" else (CONNECTION,)
        names = KeyNames(spec.hints.get("aliases") or {}, self._registry.family(spec.family), also)
        if spec.name not in self._schemas:
            self._schemas[spec.name] = self._registry.config_schema(spec)
        problems = schema_problems(self._schemas[spec.name], config, self._document, pointer, names)
        self.substitution.problems += islice(problems, MAX_PROBLEMS)
        self._check_types(config, properties, pointer)
        self._check_retry(config, properties, pointer)
        self._check_rejects(config, spec, pointer)
        self._check_bounds(checks, f"{pointer}/checks")
        return config

    def _normalised(self, spec: ComponentSpec, config: dict[str, JsonValue], pointer: str) -> dict[str, JsonValue]:
        """Return the config with old keys and values converted, each with a note."""
        keys, values, earlier = (spec.hints.get(name, {}) for name in ("synonyms", "values", "earlier"))
        result: dict[str, JsonValue] = {}
        for old, value in config.items():
            if row := earlier.get(f"{old}: {value}") or earlier.get(old):
                self._drop(old, value, row, join(pointer, old))
                continue
            key = old if old in spec.config["properties"] else keys.get(old, old)
            at = join(pointer, old)
            if key != old and key in config:
                fix = drop(at) if config[key] == value else ()
                self._add("OML036", at, fix=fix, old=old, key=key)
                continue
            if key != old:
                self._add("OML031", at, old=old, new=key)
            new = values.get(key, {}).get(value, value) if isinstance(value, str) else value
            if new != value:
                self._add("OML031", at, old=f"{key}: {value}", new=f"{key}: {new}")
            result[key] = new
        return result

    def _drop(self, key: str, value: JsonValue, row: Mapping[str, JsonValue], at: str) -> None:
        """Accept an old key with a note if its value has no effect, else reject it."""
        display, instead = f"{key}: {shown_value(key, value)}", row["instead"]
        if value in row.get("accepts", ()):
            self._add("OML032", at, hint=instead, fix=drop(at), what=f"'{display}' is not needed")
        else:
            self._add("PRJ010", at, what=display, instead=instead)

    def _reject_keys(self, config: dict[str, JsonValue], properties: Mapping[str, JsonValue], pointer: str) -> None:
        """Remove unsupported shared keys from a config; reject those newer than the file's version."""
        for key in UNSUPPORTED_RESERVED:
            if key in config and key not in properties:
                del config[key]
                instead = _INSTEAD.get(key, "remove it")
                self._add("PRJ010", join(pointer, key), fix=drop(join(pointer, key)), what=key, instead=instead)
        version = self._document.data.get("oml_version")
        for key, needed in _SINCE.items():
            if key in config and key not in properties and isinstance(version, str) and version < needed:
                self._add("OML035", join(pointer, key), fix=put("/oml_version", needed), key=key, needed=needed)

    def _with_values(self, checks: JsonValue, pointer: str) -> JsonValue:
        """Return checks with parameters substituted: in their SQL as literals, as in a step's."""
        if not isinstance(checks, list):
            return self.substitution.value(checks, pointer)
        each = ((check, join(pointer, number)) for number, check in enumerate(checks))
        return [
            self.substitution.config(check, at, {"sql": "duckdb"})
            if isinstance(check, dict)
            else self.substitution.value(check, at)
            for check, at in each
        ]

    def _check_types(self, config: Mapping[str, JsonValue], properties: Mapping[str, JsonValue], pointer: str) -> None:
        """Reject unknown types; whether a cast is exact depends on the data."""
        has_dtype = "dtype" in properties
        self._check_names(config.get("dtype") if has_dtype else None, f"{pointer}/dtype", EARLIER_TYPES)
        self._check_names(None if "cast" in properties else config.get("cast"), f"{pointer}/cast")

    def _check_names(self, types: JsonValue, pointer: str, also_allowed: Container[str] = ()) -> None:
        for column, name in types.items() if isinstance(types, dict) else ():
            if isinstance(name, str) and not (is_type_name(name) or name in also_allowed or "${" in name):
                at, meant = join(pointer, column), meant_type(name)
                problem = unknown_type(name, self._document.where(at))
                self.substitution.problems.append(replace(problem, fix=put(at, meant) if meant else ()))

    def _check_retry(self, config: Mapping[str, JsonValue], properties: Mapping[str, JsonValue], pointer: str) -> None:
        """Reject unknown kinds of failure."""
        retry = config.get("retry")
        kinds = retry.get("on") if isinstance(retry, dict) and "retry" not in properties else None
        for number, kind in enumerate(kinds if isinstance(kinds, list) else ()):
            if isinstance(kind, str) and kind not in RETRIABLE:
                at = self._document.where(f"{pointer}/retry/on/{number}")
                hint, suggestion = did_you_mean(kind[:60], RETRIABLE), nearest(kind[:60], RETRIABLE)
                allowed = "unavailable, and the codes of errors that steps raise"
                fix = put(f"{pointer}/retry/on/{number}", suggestion) if suggestion else ()
                self.substitution.problems.append(
                    diagnostic("OML005", at=at, hint=hint, fix=fix, value=f'"{kind[:60]}"', allowed=allowed)
                )

    def _check_rejects(self, config: Mapping[str, JsonValue], spec: ComponentSpec, pointer: str) -> None:
        """Reject quarantine for components that do not support it: the run would fail."""
        is_own = "on_reject" in spec.config["properties"]
        if not is_own and config.get("on_reject") == "quarantine" and "rejects" not in spec.capabilities:
            able = ", ".join(each.name for each in self._registry.all() if "rejects" in each.capabilities)
            self._add("CMP018", join(pointer, "on_reject"), component=spec.name, able=able)

    def _check_bounds(self, checks: JsonValue, pointer: str) -> None:
        """Reject a check whose minimum exceeds its maximum: it could never pass."""
        for number, check in enumerate(checks if isinstance(checks, list) else ()):
            for kind in _BOUNDED:
                bounds = check.get(kind) if isinstance(check, dict) else None
                least, most = (bounds.get("min"), bounds.get("max")) if isinstance(bounds, dict) else (None, None)
                if isinstance(least, (int, float)) and isinstance(most, (int, float)) and least > most:
                    self._add("OML037", f"{join(pointer, number)}/{kind}/max", check=kind, least=least, most=most)

    def _add(self, code: str, pointer: str, *, hint: str | None = None, fix: Fix = (), **params: object) -> None:
        at = self._document.where_key(pointer)
        self.substitution.problems.append(diagnostic(code, at=at, hint=hint, fix=fix, **params))
