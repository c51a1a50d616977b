"""Osiris compiles intent into deterministic, fingerprinted data pipelines.

`osiris.run("pipelines/orders.yaml")` runs one from Python. The names are imported on first use, so that the command
line does not load them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from osiris.errors import OsirisError
    from osiris.python import (
        Column,
        Discovery,
        Lineage,
        Output,
        Plan,
        Project,
        Rejected,
        Run,
        RunFailed,
        Step,
        Table,
        Validation,
        Verdict,
        __version__,
        compile,  # noqa: A004  the name of the command
        discover,
        lineage,
        open_project,
        preview,
        run,
        validate,
        verify,
    )

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


def __getattr__(name: str) -> object:
    """Import a public name on first use; raises AttributeError for an unknown one."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module("osiris.python"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
