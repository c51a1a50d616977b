"""The worker of a run in a sandbox that is made for it: it says whose that is, and that its time was over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.errors import OsirisError
from osiris.runner.adapter import WorkerDied
from osiris.runner.remote.run_remote import Remote

if TYPE_CHECKING:
    from osiris.model import JsonValue
    from osiris.runner.adapter import Listener
    from osiris.runner.protocol import Job, Secrets
    from osiris.runner.remote.e2b import E2B


class Sandboxed(Remote):
    """A remote worker in a sandbox that lives no longer than it may."""

    def __init__(self, sandbox: E2B, root: Path, **words: Any) -> None:  # noqa: ANN401 - those of Remote
        super().__init__(sandbox, root, **words)
        self._sandbox = sandbox

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Have one job done, as `Remote.ask`; fails with SBX029 where it ended with the sandbox's life."""
        self._sandbox.mark["session"] = Path(job.scratch).name
        try:
            return super().ask(job, secrets, listener, pulse)
        except (WorkerDied, OsirisError):
            self._sandbox.check_life()
            raise
