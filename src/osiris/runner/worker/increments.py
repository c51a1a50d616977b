"""What one run of a pair reads and records: its state is loaded from the target before the source is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.canonical import fingerprint
from osiris.errors import Location, fail
from osiris.model import schema_from_json
from osiris.replication import Cursor, Increment, Pair
from osiris.runner.worker.job_context import make_ready
from osiris.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.model import JsonValue
    from osiris.runner.worker.job_context import JobContext, Ready

_AT = Location(pointer="/config/cursor")
_WHAT = {"cursor": "its cursor", "query": "what it reads"}


def load_increment(
    job_ctx: JobContext, reader: Ready, steps: Mapping[str, Mapping[str, JsonValue]]
) -> Increment | None:
    """Return the increment of an extractor with a cursor, also for its writer; None if nothing is delivered.

    Fails with STA002 or STA003 if the state is that of another cursor, query, schema or source, and as loading fails.
    """
    writer = next((step for step in steps.values() if _reader_of(step) == reader.data["id"]), None)
    cursor = Cursor.of(reader.data["config"])
    if writer is None or cursor is None or job_ctx.job.kind != "run" or writer["id"] in job_ctx.job.discard:
        return None
    ready = make_ready(job_ctx, writer)
    (parent,) = writer["inputs"].values()
    before, repeated = ready.driver.state(ready.config, schema_from_json(steps[parent]["schema"]), ready.context)
    pair = Pair(writer["state"]["source"], writer["state"]["form"])
    source = source_digest(reader.context.connection)
    if before is not None:
        _expect_same("STA002", [_WHAT[name] for name in _changes(pair.form, before.form)], pair)
        _expect_same("STA003", ["its connection"] if before.source not in (None, source) else [], pair)
    appends = writer["config"].get("write_mode") != "upsert"
    increment = Increment(pair, cursor, before, repeated if appends else None, source)
    job_ctx.increments[writer["id"]] = increment
    return increment


def source_digest(connection: Mapping[str, JsonValue]) -> str:
    """Return the SHA-256 of a connection's resolved fields that are not secret, in hex."""
    return fingerprint({name: value for name, value in connection.items() if not isinstance(value, Secret)})


def _reader_of(step: Mapping[str, JsonValue]) -> str | None:
    return step["state"]["reader"] if "state" in step else None


def _changes(form: Mapping[str, str], before: Mapping[str, str] | None) -> list[str]:
    return [] if before is None else [name for name in form if form[name] != before.get(name)]


def _expect_same(code: str, changes: Sequence[str], pair: Pair) -> None:
    if changes:
        fail(code, at=_AT, what=" and ".join(changes), source=pair.source)
