"""The other tools: how each is installed, and how it is run once."""

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
"""Timeout of a tool in seconds."""

QUIET = ("RUNTIME__DLTHUB_TELEMETRY=false", "SLING_DISABLE_TELEMETRY=TRUE")


@dataclass(frozen=True)
class Tool:
    """One tool: what is installed for it, the path of its program in its environment, and the arguments that only start
    it.
    """

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
    # The package `sling` has no program and downloads one from elsewhere; this one contains it, in an older version.
    "sling": Tool(
        ("sling-linux-amd64",), "lib/python3*/site-packages/sling_linux_amd64/bin/sling-linux-amd64", ("--version",)
    ),
    "osiris-pipeline": Tool(("osiris-pipeline==0.5.7",), "bin/osiris", ("--version",)),
}


class Unusable(Exception):
    """A tool cannot be installed, fails or times out; its text is the reason."""


@dataclass(frozen=True)
class Job:
    """One job of a tool: the arguments of its program, its number of rows, and its preparation.

    `count` returns the number of rows that exist afterwards.
    """

    tool: str
    words: list[str]
    rows: int
    count: Callable[[], int]
    before: Callable[[], None] = lambda: None
    note: str = ""


@dataclass(frozen=True)
class Absent:
    """A tool that cannot do a job, and why."""

    tool: str
    reason: str


@dataclass(frozen=True)
class Done:
    """One finished job: the tool with its version, the measurement, and the seconds of start-up alone."""

    name: str
    sample: Sample
    start: float


def script(name: str) -> str:
    """Return the path of a script beside this file."""
    return str(HERE / f"{name}.py")


def perform(job: Job | Absent, data: Path, folder: Path) -> Done:
    """Run a job in its own folder, in an environment that is created if it does not exist.

    Raises Unusable if the tool cannot do the job, cannot be installed, fails, takes too long, or loses rows.
    """
    if isinstance(job, Absent):
        raise Unusable(job.reason)
    folder.mkdir(parents=True, exist_ok=True)
    tool = TOOLS[job.tool]
    home, version = installed(job.tool, data)
    path = next(home.glob(tool.program), None)
    if path is None:
        raise Unusable(f"{job.tool} {version} brings no program")
    program = ["env", f"HOME={folder}", *QUIET, str(path)]
    try:
        run([*program, *tool.start], folder)
        start = run([*program, *tool.start], folder)
        job.before()
        sample = run([*program, *job.words], folder, PATIENCE)
    except Ended as ended:
        how, _, output = str(ended).partition(" ended with ")[2].partition("\n")
        raise Unusable(f"it ended with {how} {' '.join(output.split())[-200:]}") from ended
    if job.count() != job.rows:
        raise Unusable(f"{job.count()} of {job.rows} rows exist after {sample.seconds:.1f} s")
    return Done(f"{job.tool} {version}", sample, start.seconds)


def installed(name: str, data: Path) -> tuple[Path, str]:
    """Return a tool's environment and version; creates the environment in `data` if it is missing or incomplete."""
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
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise Unusable(f"{name} cannot be installed: {last}")
