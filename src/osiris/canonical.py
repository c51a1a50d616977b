"""One spelling for every value, and the SHA-256 of it: what all identity in Osiris rests on.

The canonical form is RFC 8785 (JSON Canonicalization Scheme): UTF-8, keys sorted by UTF-16 code units, no white space,
shortest round-trip numbers. Integers beyond 2**53 cannot be spelled in it, so they are refused here and must be text.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import rfc8785

if TYPE_CHECKING:
    from osiris.model import JsonValue


def canonical_bytes(value: JsonValue) -> bytes:
    """Return the RFC 8785 bytes of a JSON value; raises `rfc8785.CanonicalizationError` for anything else."""
    return rfc8785.dumps(value)


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: JsonValue) -> str:
    """Return the SHA-256 of a value's canonical bytes as 64 hex digits."""
    return sha256_hex(canonical_bytes(value))
