"""Which tools there are, how each is installed, and how one is run once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import Ended, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.measure import Sample

HERE = Path(__file__).parent
PATIENCE = 180.0
"""The seconds after which a tool is ended that has not come to its end."""

QUIET = ("RUNTIME__DLTHUB_TELEMETRY=false", "SLING_DISABLE_TELEMETRY=TRUE")


@dataclass(frozen=True)
class Tool:
    """One tool: what is installed for it, the program's path in its environment, and the words that only start it."""

    packages: tuple[str, ...]
    program: str
    start: tuple[str, ...]


TOOLS = {
    "connectorx": Tool(("connectorx", "pyarrow"), "bin/python", ("-c", "import connectorx, pyarrow.parquet")),
    "dlt": Tool(
        ("dlt[postgres,parquet]", "sqlalchemy", "pymysql", "connectorx"),
        "bin/python",
        ("-c", "import dlt, sqlalchemy, connectorx, pyarrow; from dlt.sources import sql_database"),
    ),
    # The package `sling` brings no program and fetches one from elsewhere; this one has it, though not the newest.
    "sling": Tool(
        ("sling-linux-amd64",), "lib/python3*/site-packages/sling_linux_amd64/bin/sling-linux-amd64", ("--version",)
    ),
    "osiris-pipeline": Tool(("osiris-pipeline==0.5.7",), "bin/osiris", ("--version",)),
}


class Unusable(Exception):
    """A tool cannot be installed or does not come to its end, with the reason."""


@dataclass(frozen=True)
class Job:
    """What one tool does once: the words after its program, on how many rows, after what must be done before.

    `count` tells how many rows are there afterwards.
    """

    tool: str
    words: list[str]
    rows: int
    count: Callable[[], int]
    before: Callable[[], None] = lambda: None
    note: str = ""


@dataclass(frozen=True)
class Absent:
    """A tool that has no way to do a job, and why."""

    tool: str
    reason: str


@dataclass(frozen=True)
class Done:
    """One finished job: the tool with its version, what it took, and the seconds that its start alone takes."""

    name: str
    sample: Sample
    start: float


def script(name: str) -> str:
    """Return the path of a script beside this file."""
    return str(HERE / f"{name}.py")


def perform(job: Job | Absent, data: Path, folder: Path) -> Done:
    """Run a job in a folder of its own, in an environment that is made if it is not there.

    Raises Unusable if the tool has no way to do it, cannot be installed, fails, takes too long, or
    loses rows.
    """
    if isinstance(job, Absent):
        raise Unusable(job.reason)
    folder.mkdir(parents=True, exist_ok=True)
    tool = TOOLS[job.tool]
    home, version = installed(job.tool, data)
    found = next(home.glob(tool.program), None)
    if found is None:
        raise Unusable(f"{job.tool} {version} brings no program")
    program = ["env", f"HOME={folder}", *QUIET, str(found)]
    try:
        run([*program, *tool.start], folder)
        start = run([*program, *tool.start], folder)
        job.before()
        sample = run([*program, *job.words], folder, PATIENCE)
    except Ended as ended:
        how, _, told = str(ended).partition(" ended with ")[2].partition("\n")
        raise Unusable(f"it ended with {how} {' '.join(told.split())[-200:]}") from ended
    if job.count() != job.rows:
        raise Unusable(f"{job.count()} of {job.rows} rows are there, after {sample.seconds:.1f} s")
    return Done(f"{job.tool} {version}", sample, start.seconds)


def installed(name: str, data: Path) -> tuple[Path, str]:
    """Return a tool's environment and version; makes the environment in `data` if it is not there whole."""
    home = (data / "peers" / name).absolute()
    complete = home / ".complete"
    if not complete.exists():
        pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _install(name, [sys.executable, "-m", "venv", "--clear", str(home)])
        _install(name, [*pip, "install", "-q", *TOOLS[name].packages])
        listed = subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True).stdout
        versions = {package["name"].lower().replace("_", "-"): package["version"] for package in json.loads(listed)}
        complete.write_text(versions[TOOLS[name].packages[0].partition("=")[0].partition("[")[0]], encoding="utf-8")
    return home, complete.read_text(encoding="utf-8")


def _install(name: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "nothing was said").splitlines()[-1]
        raise Unusable(f"{name} cannot be installed: {last}")
