"""The doctor of object stores: checks that the bucket exists and that the key may list it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from osiris.errors import diagnostic, fail
from osiris.families.doctor_report import Health, Transport, milliseconds, with_timeout
from osiris.families.stores.bucket import open_bucket, text_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from osiris.driver import StepContext

_LOOKED_AT = 1000
"""The maximum number of objects that are counted."""

_ENCRYPTED = "let endpoint of the connection begin with https://"
_SIGNED = "give the connection a key"
_KEYS = ("access_key_id", "account_key", "sas_token", "service_account_key")


def examine(ctx: StepContext, uses: Collection[str], seconds: float) -> Health:
    """Check a bucket; fails with CON016, CON039 to CON042, CON067 to CON071 or DRV037 if it cannot be used.

    Stores do not report other permissions of a key, and trying them would change something.
    """
    import obstore

    name, prefix = text_of(ctx.connection, "bucket"), text_of(ctx.connection, "prefix")
    if not name:
        fail("CON067", missing="'bucket', which the test needs")
    began = time.monotonic()
    hasty = with_timeout(ctx, seconds / 2)
    bucket = open_bucket(ctx.family, hasty.connection, name)
    with bucket.translate_errors(name, prefix or ""):
        count = len(next(iter(obstore.list(bucket.store, prefix, chunk_size=_LOOKED_AT)), ()))
    parts = urlsplit(text_of(ctx.connection, "endpoint") or "https://store")
    encrypted = parts.scheme == "https"
    line = Transport(bucket.where, parts.hostname or "", encrypted, encrypted)
    signed = any(text_of(ctx.connection, key) for key in _KEYS)
    return Health(
        grade="may list",
        reasons=["whether it may also read and write objects is only known after a run that does"],
        facts={
            "bucket": name,
            "where": bucket.where,
            "objects": count if count < _LOOKED_AT else f"{_LOOKED_AT} or more",
            "signed": signed,
            "encrypted": encrypted,
            "query_ms": milliseconds(began),
        },
        diagnostics=[replace(problem, hint=_ENCRYPTED) for problem in line.problems()]
        + ([diagnostic("CON020", connection=ctx.step, hint=_SIGNED)] if "write" in uses and not signed else []),
    )
