"""What went wrong where anything may be raised: in a stranger's driver, or by our own mistake.

It is said in our words: a step's own diagnostics, or what its exception means to us.
"""

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
    from osiris.runner.worker.job_context import Place

_REASON_LENGTH = 500


def explain(place: Place, data: Mapping[str, JsonValue], error: BaseException) -> list[Diagnostic]:
    """Return the diagnostics of what a step raised; a traceback is kept only for what we did not expect."""
    if isinstance(error, OsirisError):
        return list(error.diagnostics)
    if isinstance(error, MemoryError):
        return out_of_memory(str(data["id"]), place.job.limits.memory)
    _keep_traceback(place, str(data["id"]), error)
    reason = f"{type(error).__name__}: {error}"[:_REASON_LENGTH]
    return [diagnostic("DRV000", component=data["component"], reason=reason, step=data["id"])]


def out_of_memory(step: str, limit: int) -> list[Diagnostic]:
    """Return what there is to say of a step that needs more than so many bytes of memory."""
    return [diagnostic("RUN013", step=step, limit=f"{limit / 1e6:.0f} MB")]


def _keep_traceback(place: Place, step: str, error: BaseException) -> None:
    text = place.outbox.scrubber.text("".join(traceback.format_exception(error)))
    folder = Path(place.job.artifacts) / step
    try:
        make_private(folder)
        with os.fdopen(private(folder / "traceback.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def caught(action: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return the answer of a call, or None and what it raised; a call that is stopped stays so."""
    try:
        return action(), None
    except Exception as error:  # noqa: BLE001  a stranger's driver may raise anything
        return None, error
