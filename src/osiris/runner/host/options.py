"""Options and result of a run; a separate module, as commands need both before they import the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.registry import Registry
    from osiris.runner.host.interrupts import Interrupts
    from osiris.runner.host.replay import Replay


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. `environ` has the variables of connections (None: the process environment and .env).

    `digest` "all" digests the output of every step, not only written rows. Give at most one of `new_run`, `run_id` and
    `resume` (a session, or `last`). `select` names steps (`selection.matching`), which run with all their dependencies;
    None runs all steps. `replay` is the session to repeat; a replay does not continue a run and is never continued.
    The caller verifies the plan, drift included. With `attended` the caller holds the locks of the run (`hold`), then
    closes lost runs and reports them (`close_lost`), and calls `RunResult.acknowledge` afterwards. `registry` None
    means the installed components. With `keep_in`, the rows of the steps in `keep` (None: the last steps) are left in
    that folder; for a writer, the rows given to it. A caller stops the run by its `interrupts`.
    """

    new_run: bool = False
    run_id: str | None = None
    resume: str | None = None
    digest: Literal["written", "all"] = "written"
    allow_engine_drift: bool = False
    select: str | None = None
    environ: Mapping[str, str] | None = None
    replay: Replay | None = None
    attended: bool = False
    registry: Registry | None = None
    keep: Sequence[str] | None = None
    keep_in: Path | None = None
    interrupts: Interrupts | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `steps` is as in run.json: per step its mode, status, rows, duration in ms, and digest.

    Call `acknowledge` once the result has been shown. If the process is killed before that, the same command reports
    the finished run instead of running again.
    """

    session_id: str
    status: str
    exit_code: int
    run_key: str
    steps: Mapping[str, JsonValue] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    acknowledge: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
