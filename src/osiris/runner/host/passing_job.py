"""Jobs outside of a run: each has its own scratch folder, removed at its end."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.durable import guarded, make_folder, remove_folder
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.config import Config
    from osiris.project import Project


@contextmanager
def passing_job(project: Project, config: Config, kind: str, **fields: Any) -> Iterator[Job]:  # noqa: ANN401
    """Create a job of a kind, with further fields of `Job`; its folder is removed when the block ends."""
    folder = make_scratch(project.scratch)
    try:
        yield Job(
            kind=kind,
            root=str(project.root),
            scratch=str(folder),
            artifacts=str(folder / "artifacts"),
            limits=limits_of(config.get("run.memory"), config.get("run.threads")),
            paths=config.paths(),
            **{"steps": [], **fields},
        )
    finally:
        remove_folder(folder)


def make_scratch(parent: Path) -> Path:
    """Create a private folder named after our process id, and remove those of dead processes; fails with PRJ006."""
    make_folder(parent, private=True)
    for other in parent.glob("describe-*-*"):
        try:
            os.kill(int(other.name.split("-")[1]), 0)
        except ProcessLookupError:
            remove_folder(other)
        except PermissionError:
            continue
    with guarded(parent):
        return Path(tempfile.mkdtemp(prefix=f"describe-{os.getpid()}-", dir=parent))
