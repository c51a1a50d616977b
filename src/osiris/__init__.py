"""Osiris compiles intent into deterministic, fingerprinted data pipelines.

`osiris.run("pipelines/orders.yaml")` runs one from Python. The names are imported on first use, so that the command
line does not load them.
"""

TYPE_CHECKING = False
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


_HOMES = {
    "Column": "osiris.model:Field",
    "Lineage": "osiris.api.lineage:Traced",
    "OsirisError": "osiris.errors",
    "Verdict": "osiris.api.comparisons",
    **dict.fromkeys(("Output", "Rejected"), "osiris.python.output"),
    **dict.fromkeys(("Discovery", "Plan", "Run", "RunFailed", "Step", "Table", "Validation"), "osiris.python.results"),
}
"""Modules of the names that are not in `osiris.python.project`, with another name that they have there."""


def __getattr__(name: str) -> object:
    """Import a public name on first use; raises AttributeError for an unknown one."""
    from importlib import import_module

    if name == "__version__":
        return import_module("osiris.distribution").own_version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own_name = _HOMES.get(name, "osiris.python.project").partition(":")
    value = getattr(import_module(module), own_name or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
