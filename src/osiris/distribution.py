"""Under which name Osiris is installed, and what its extras are made of."""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError, requires, version

DISTRIBUTION = "osiris"
"""The name of the distribution; module and command are called osiris whatever it is."""


def own_version() -> str:
    """Return the version that is installed; raises PackageNotFoundError if only the files are there."""
    return version(DISTRIBUTION)


def install_command(extra: str) -> str:
    """Return the command that installs the libraries of an extra, by their own names: ours may be another's."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        lines = []
    marks = (f"extra == '{extra}'", f'extra == "{extra}"')
    found = [line.partition(";")[0].strip() for line in lines if line.endswith(marks)]
    return f"pip install {shlex.join(found or [extra])}"
