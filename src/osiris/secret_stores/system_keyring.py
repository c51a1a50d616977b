"""The keyring of the operating system, or another one that the package keyring is configured for.

`${keyring:SERVICE#USER}` is what `keyring set SERVICE USER` stored.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from osiris.distribution import install_command
from osiris.secret_stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


def fetch(path: str, field: str | None, environ: Mapping[str, str], timeout: float) -> str:  # noqa: ARG001
    """Return the password of a user of a service."""
    try:
        import keyring
        from keyring import errors
    except ImportError:
        raise StoreError("absent", "keyring", f"install it: {install_command('keyring')}") from None
    if field is None:
        raise StoreError("unusable", "it names no user: write ${keyring:SERVICE#USER}")
    try:
        password = keyring.get_password(path, field)
    except errors.NoKeyringError:
        remedy = "configure the package keyring, or use another store: servers usually have no keyring"
        raise StoreError("unusable", "this machine has no keyring", remedy) from None
    except errors.KeyringLocked:
        raise StoreError("denied", "the keyring is locked", "unlock it, then run the same command again") from None
    except errors.KeyringError as error:
        raise StoreError("unreachable", f"the keyring failed ({type(error).__name__})") from None
    if password is None:
        raise StoreError(
            "missing", "the keyring has no such service and user", f"run: keyring set {shlex.join((path, field))}"
        )
    return password
