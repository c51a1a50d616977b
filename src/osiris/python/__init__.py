"""Osiris from Python: the names of `import osiris`, for notebooks and scripts; each is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.api.comparisons import Verdict
    from osiris.api.lineage import Traced as Lineage
    from osiris.errors import OsirisError
    from osiris.model import Field as Column
    from osiris.python.output import Output, Rejected
    from osiris.python.project import (
        Project,
        compile,  # noqa: A004  the name of the command
        discover,
        lineage,
        open_project,
        preview,
        run,
        validate,
        verify,
    )
    from osiris.python.results import Discovery, Plan, Run, RunFailed, Step, Table, Validation

    __version__: str

__all__ = [
    "Column",
    "Discovery",
    "Lineage",
    "OsirisError",
    "Output",
    "Plan",
    "Project",
    "Rejected",
    "Run",
    "RunFailed",
    "Step",
    "Table",
    "Validation",
    "Verdict",
    "__version__",
    "compile",
    "discover",
    "lineage",
    "open_project",
    "preview",
    "run",
    "validate",
    "verify",
]

_ELSEWHERE = {
    "Column": ("osiris.model", "Field"),
    "Lineage": ("osiris.api.lineage", "Traced"),
    "OsirisError": ("osiris.errors", "OsirisError"),
    "Verdict": ("osiris.api.comparisons", "Verdict"),
}
_RESULTS = {"Discovery", "Plan", "Run", "RunFailed", "Step", "Table", "Validation"}
_ROWS = {"Output", "Rejected"}


def __getattr__(name: str) -> object:
    """Import a name; raises AttributeError for an unknown one."""
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    own = "results" if name in _RESULTS else "output" if name in _ROWS else "project"
    module, attribute = _ELSEWHERE.get(name, (f"{__name__}.{own}", name))
    return getattr(import_module(module), attribute)


def _version() -> str:
    from osiris.distribution import own_version

    return own_version()
