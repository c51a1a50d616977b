"""References to secrets in stores, such as `${vault:secret/shop#password}`; they are fetched by `secret_stores`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from osiris.distribution import installed_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.model import StoreReference

    Kind: TypeAlias = Literal["missing", "denied", "unreachable", "unusable", "absent"]
    FetchSecret: TypeAlias = Callable[[StoreReference, Mapping[str, str]], str]

GROUP = "osiris.secret_stores"
"""The group of entry points: the name is the scheme, the value `module:function`."""


class Store(NamedTuple):
    """A store of ours: its module, the extra with its library, and the variables by which it is opened.

    The values of `credentials` are masked.
    """

    module: str
    extra: str | None = None
    settings: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()


OWN = {
    "aws-sm": Store(
        "osiris.secret_stores.aws",
        "aws",
        settings=("AWS_REGION", "AWS_ACCESS_KEY_ID"),
        credentials=("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ),
    "cmd": Store("osiris.secret_stores.commands"),
    "gcp-sm": Store("osiris.secret_stores.gcp", "gcp", settings=("GOOGLE_APPLICATION_CREDENTIALS",)),
    "keyring": Store("osiris.secret_stores.system_keyring", "keyring"),
    "vault": Store(
        "osiris.secret_stores.vault",
        settings=("VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_ROLE_ID"),
        credentials=("VAULT_TOKEN", "VAULT_SECRET_ID"),
    ),
}
"""Our stores by scheme, which other packages cannot replace."""

_HOST = re.compile(r"://(?:[^/?#]*@)?\[?([^]/:?#]+)")


class StoreError(Exception):
    """A secret cannot be fetched. The reason is shown: it has neither the value nor a token.

    `kind` is one of: `missing` (no such path or field), `denied` (the store rejected the request), `unreachable` (it
    may work if it is tried again, which Osiris does), `unusable` (not configured, or a bad path), `absent` (a library
    is not installed: then `remedy` is the command that installs it). `remedy` replaces the hint of the message.
    """

    def __init__(self, kind: Kind, reason: str, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.remedy = remedy


def store_names() -> list[str]:
    """Return the schemes of all installed stores, sorted; nothing is loaded."""
    return sorted({*OWN, *(name for _group, name, _target, _owner in installed_entries([GROUP]))})


def unknown_store_hint(scheme: str) -> str:
    """Return a hint for a scheme without a store."""
    from osiris.errors import nearest

    names = store_names()
    near = nearest(scheme, names)
    return f"did you mean '{near}'?" if near else f"use one of {', '.join(names)}, or ${{NAME}} for a variable"


def shown_forms(text: str) -> Iterator[str]:
    """Yield a value of a store, and what messages show of it: the host of a URL, or a path without detours."""
    yield text
    host = _HOST.search(text)
    yield host[1] if host else os.path.normpath(text)


def without_value(reference: StoreReference, environ: Mapping[str, str]) -> str:  # noqa: ARG001  a FetchSecret
    """Return an empty text, in place of a value that must not be fetched."""
    return ""
