"""Names that other packages import stay in place, with the same parameters and fields; new ones may be added."""

import dataclasses
import importlib
import inspect
import json
from pathlib import Path

import pytest

MODULES = (
    "osiris.api",
    "osiris.delivery",
    "osiris.driver",
    "osiris.errors",
    "osiris.families.quarantine",
    "osiris.files",
    "osiris.model",
    "osiris.runner.transport",
    "osiris.table",
    "osiris.testing",
    "osiris.types",
)
RECORDED = Path(__file__).with_name("public_names.json")


def shape(value):
    """Return what a caller of a public name relies on, as a text."""
    if dataclasses.is_dataclass(value):
        return ", ".join(field.name for field in dataclasses.fields(value))
    if inspect.isclass(value):
        return ", ".join(sorted(name for name in vars(value) if not name.startswith("_")))
    if inspect.isfunction(value):
        return ", ".join(map(_parameter, inspect.signature(value).parameters.values()))
    return type(value).__name__


def _parameter(parameter):
    return f"{parameter.name}{'' if parameter.default is parameter.empty else '=…'}"


def names_of(module):
    """Return the public names of a module that are its own: those of `__all__`, or lazy, or defined in it."""
    loaded = importlib.import_module(module)
    listed = getattr(loaded, "__all__", None) or getattr(loaded, "_HOMES", None)
    own = [name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module]
    return {name: shape(getattr(loaded, name)) for name in sorted(listed or own) if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_public_names_stay(module, update_golden):
    found = names_of(module)
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    if update_golden:
        recorded[module] = found
        RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert recorded[module]
    assert {name: found.get(name) for name in recorded[module]} == recorded[module]
