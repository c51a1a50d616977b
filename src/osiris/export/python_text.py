"""Python source: values as literals, and the function that starts Osiris."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = '''\
def run_osiris(run_id, log):
    """Run the pipeline, and stop it tidily if the scheduler stops this process."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([*COMMAND, run_id], **streams, text=True, errors="replace") as osiris:
        try:
            for line in osiris.stdout:
                log(line.rstrip())
        except BaseException:
            osiris.terminate()
            raise
    if osiris.returncode:
        raise RuntimeError(f"osiris ended with exit code {osiris.returncode}")
'''
"""A function for a file that defines COMMAND and imports subprocess."""


def literal(values: Sequence[object]) -> str:
    """Return a list as Python source, one item per line."""
    return "[\n" + "".join(f"    {value!r},\n" for value in values) + "]" if values else "[]"
