"""Written choices of a person who uses the guide, given to it as lines of standard input; counts them."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from bench.projects import OSIRIS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.model import JsonValue

_SHOWN = 30
"""Lines of the guide that are kept where a task failed."""


def guide(
    task: JsonValue, choices: Sequence[str], project: Path, environ: Mapping[str, str], results: Path
) -> JsonValue:
    """Return the outcome of a task and the number of its choices, as a line of the transcript; rows go to `results`.

    What earlier tasks wrote to the project is deleted.
    """
    for folder in ("output", "pipelines"):
        shutil.rmtree(project / folder, ignore_errors=True)
    lines = "".join(f"{choice}\n" for choice in choices)
    done = subprocess.run(
        [OSIRIS, "new"], cwd=project, env=dict(environ), input=lines, capture_output=True, text=True, check=False
    )
    line = {"id": task["id"], "wrote": False, "asked": False, "refused": False, "choices": len(choices)}
    if done.returncode:
        return {**line, "problem": "\n".join(done.stderr.splitlines()[-_SHOWN:])}
    (written,) = (project / "output").iterdir()
    shutil.copy(written, results / f"{task['id']}{written.suffix}")
    return {**line, "wrote": True}
