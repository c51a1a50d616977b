"""Secrets from stores: references such as `${vault:secret/shop#password}`, and their values.

A store is a function, ours or that of a package, which registers it in the entry-point group `osiris.secret_stores`
under its scheme:

    def fetch(path: str, field: str | None, environ: Mapping[str, str], timeout: float) -> str | Mapping[str, object]

It returns the value of the field, or all fields of the path, from which Osiris takes the one that is wanted: so that
several fields of a secret are of one version, and are asked for once. It is configured by `environ` alone (the
environment with `.env`), gives up after `timeout` seconds, and raises StoreError. It never prints.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from osiris.distribution import NotLoadedError, load_foreign, registered
from osiris.secret.references import GROUP, OWN, StoreError, shown_forms, unknown_store_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from osiris.model import StoreReference

    Fetch: TypeAlias = Callable[[str, str | None, Mapping[str, str], float], str | Mapping[str, object]]
    Value: TypeAlias = str | Mapping[str, object]

__all__ = [
    "GROUP",
    "StoreError",
    "asking",
    "fetch_secret",
    "fetched_texts",
    "parse_fields",
    "recall_secret",
    "wait_for",
]

TIMEOUT = 10.0
"""Seconds that a store gets for one attempt."""
LIMIT = 30.0
"""Seconds until an attempt is given up that does not keep to its timeout."""
PAUSES = (0.2, 0.8)
"""Seconds to wait before each further attempt."""
PATIENCE = 3.0
"""Seconds after which a failed attempt is not repeated: the store is slow rather than disturbed."""
CREDENTIALS = frozenset(name for store in OWN.values() for name in store.credentials)
"""Variables with which stores are opened: their values are masked."""
MOMENT = 0.2
"""Seconds until a signal is handled at the latest while threads are waited for."""
FRESH = 60.0
"""Seconds for which a process that outlives a command, of Python or of agents, does not ask for a value again."""
_LASTING = ("", "mcp")
"""The commands of such processes; any other one asks once."""


@dataclass(slots=True)
class _Asking:
    """Who asks for secrets: a command of the command line, such as `run`; empty for all others."""

    command: str = ""


asking = _Asking()


@dataclass(frozen=True, slots=True)
class _Kept:
    environ: Mapping[str, str]
    since: float
    value: Value


_kept: dict[tuple[str, str, str | None], _Kept] = {}
"""What stores answered, by scheme, path and field (None: all fields of the path). In memory only."""

_fetched: set[str] = set()
"""All values that were fetched, also former ones."""


def fetch_secret(reference: StoreReference, environ: Mapping[str, str]) -> str:
    """Return the value of a reference, asking its store if it was not asked just now; raises StoreError."""
    kept = _find(reference)
    if kept is None or _is_old(kept) or kept.environ != dict(environ):
        value = _ask_repeatedly(_load(reference.scheme), reference, environ)
        field = None if isinstance(value, Mapping) else reference.field
        kept = _Kept(dict(environ), time.monotonic(), value)
        _kept[reference.scheme, reference.path, field] = kept
    text = _picked(kept.value, reference)
    _fetched.update(shown_forms(text))
    return text


def _is_old(kept: _Kept) -> bool:
    return asking.command in _LASTING and kept.since + FRESH < time.monotonic()


def recall_secret(reference: StoreReference, environ: Mapping[str, str]) -> str:  # noqa: ARG001  as fetch_secret
    """Return the value that this process last fetched for a reference; raises StoreError if it fetched none."""
    kept = _find(reference)
    if kept is None:
        raise StoreError("unreachable", "it was not needed")
    return _picked(kept.value, reference)


def fetched_texts() -> set[str]:
    """Return all values that this process has fetched, to mask them."""
    return {*_fetched}


def parse_fields(text: str, field: str | None) -> Value:
    """Return a secret's text, or the members of the JSON object in it if a field is wanted; for stores of texts."""
    if field is None:
        return text
    try:
        members = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise StoreError("missing", "it is a text without fields: leave out '#' and the field")
    return members


def _find(reference: StoreReference) -> _Kept | None:
    own, path = (reference.scheme, reference.path, reference.field), (reference.scheme, reference.path, None)
    return _kept.get(own) or (kept if (kept := _kept.get(path)) and isinstance(kept.value, Mapping) else None)


def _picked(value: Value, reference: StoreReference) -> str:
    """Return the text of the field of a reference; raises StoreError if there is none."""
    if isinstance(value, Mapping):
        if reference.field is None:
            raise StoreError("missing", f"it has several fields: append one as '#field', one of {_listed(value)}")
        if reference.field not in value:
            raise StoreError("missing", f"it has no field '{reference.field}'; its fields: {_listed(value)}")
        value = value[reference.field]  # type: ignore[assignment]  # any JSON value: checked below
    text = json.dumps(value) if isinstance(value, bool | int | float) else value
    if not isinstance(text, str) or not text:
        raise StoreError("missing", "its value is empty" if text in (None, "") else "its value is not a text")
    return text


def _listed(fields: Mapping[str, object]) -> str:
    names = sorted(map(str, fields))
    return ", ".join(f"'{name}'" for name in names[:12]) + (" …" if len(names) > 12 else "") if names else "none"


def _load(scheme: str) -> Fetch:
    if scheme in OWN:
        own: Fetch = import_module(OWN[scheme].module).fetch
        return own
    entries = registered(GROUP, scheme)
    if not entries:
        raise StoreError("unusable", f"there is no secret store '{scheme}'", unknown_store_hint(scheme))
    if len(entries) > 1:
        several = ", ".join(entry.value for entry in entries)
        raise StoreError("unusable", f"several packages register the store '{scheme}': {several}")
    try:
        loaded: Fetch = load_foreign(entries[0].load)
    except NotLoadedError as error:
        raise StoreError("unusable", f"its store does not load: {error}") from None
    return loaded


def _ask_repeatedly(fetch: Fetch, reference: StoreReference, environ: Mapping[str, str]) -> Value:
    """Return the answer of a store; one that could not be reached is asked again, unless that took long."""
    began = time.monotonic()
    for pause in PAUSES:
        try:
            return _in_time(fetch, reference, environ)
        except StoreError as error:
            if error.kind != "unreachable" or time.monotonic() - began > PATIENCE:
                raise
        time.sleep(pause)
    return _in_time(fetch, reference, environ)


def _in_time(fetch: Fetch, reference: StoreReference, environ: Mapping[str, str]) -> Value:
    """Return one answer. The call runs in a thread that is left behind after LIMIT, as libraries may wait for ever."""
    answers: list[Value | StoreError] = []

    def ask() -> None:
        answers.append(_guarded(fetch, reference, environ))

    thread = threading.Thread(target=ask, name=f"secrets from {reference.scheme}", daemon=True)
    thread.start()
    wait_for([thread], LIMIT)
    if not answers:
        raise StoreError("unreachable", f"no answer within {LIMIT:.0f} s")
    if isinstance(answers[0], StoreError):
        raise answers[0]
    return answers[0]


def wait_for(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Wait until threads end, together for at most `seconds`; a signal is handled within a moment.

    One long `join` may sleep through a signal that arrives just before it.
    """
    end = time.monotonic() + seconds
    for thread in threads:
        while thread.is_alive() and (left := end - time.monotonic()) > 0:
            thread.join(min(MOMENT, left))


def _guarded(fetch: Fetch, reference: StoreReference, environ: Mapping[str, str]) -> Value | StoreError:
    def ask() -> Value | StoreError:
        try:
            return fetch(reference.path, reference.field, environ, TIMEOUT)
        except StoreError as error:
            return error

    try:
        return load_foreign(ask)
    except NotLoadedError as error:  # its message may have the value or a token: only the type is shown
        return StoreError("unreachable", f"its store failed with {str(error).partition(':')[0]}")
