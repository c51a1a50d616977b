"""Converts any exception of a step, from a driver or from our own code, to diagnostics."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.files import make_private, private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osiris.model import JsonValue
    from osiris.runner.worker.job_context import JobContext

_REASON_LENGTH = 500


def explain(job_ctx: JobContext, data: Mapping[str, JsonValue], error: BaseException) -> list[Diagnostic]:
    """Return the diagnostics of a step's exception; saves a traceback only for unexpected ones."""
    if isinstance(error, OsirisError):
        return list(error.diagnostics)
    if isinstance(error, MemoryError):
        return out_of_memory(str(data["id"]), job_ctx.job.limits.memory)
    _keep_traceback(job_ctx, str(data["id"]), error)
    reason = f"{type(error).__name__}: {error}"[:_REASON_LENGTH]
    return [diagnostic("DRV000", component=data["component"], reason=reason, step=data["id"])]


def out_of_memory(step: str, limit: int) -> list[Diagnostic]:
    """Return the diagnostics of a step that exceeded its memory limit, in bytes."""
    return [diagnostic("RUN013", step=step, limit=f"{limit / 1e6:.0f} MB")]


def _keep_traceback(job_ctx: JobContext, step: str, error: BaseException) -> None:
    text = job_ctx.outbox.scrubber.text("".join(traceback.format_exception(error)))
    folder = Path(job_ctx.job.artifacts) / step
    try:
        make_private(folder)
        with os.fdopen(private(folder / "traceback.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def caught(action: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return the answer of a call, or None and its exception; Stopped is not caught."""
    try:
        return action(), None
    except Exception as error:  # noqa: BLE001  drivers may raise anything
        return None, error
