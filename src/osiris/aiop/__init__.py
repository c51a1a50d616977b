"""The package of a run: what happened, why, and what to do, for a model or a person that knows nothing else of it."""

from osiris.aiop.index import lead_to_newest, load_catalogue, package_path
from osiris.aiop.options import Options, options_of
from osiris.aiop.package import Package, build_package, write_annex, write_package

__all__ = [
    "Options",
    "Package",
    "build_package",
    "lead_to_newest",
    "load_catalogue",
    "options_of",
    "package_path",
    "write_annex",
    "write_package",
]
