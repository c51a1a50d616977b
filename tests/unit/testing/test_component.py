"""A component whose behaviour differs from its spec is detected."""

import importlib
import sys
from copy import deepcopy

import pytest
import yaml

from osiris.testing import check_component

SPEC = {
    "name": "ham.reader",
    "version": "1.0.0",
    "title": "Ham reader",
    "description": "Reads ham.",
    "family": "ham",
    "modes": ["read"],
    "capabilities": ["discover"],
    "inputs": {"min": 0, "max": 0},
    "output": True,
    "connection": "optional",
    "config": {
        "type": "object",
        "required": ["path"],
        "additionalProperties": False,
        "properties": {
            "path": {"description": "Where.", "type": "string"},
            "slices": {"description": "How many.", "type": "integer", "default": 2},
            "cut": {"description": "How.", "enum": ["thin", "thick"], "default": "thin"},
            "weight": {"description": "How much, or nothing.", "type": "number"},
            "spices": {"description": "Which.", "type": "array", "items": {"type": "string"}, "default": ["salt"]},
            "options": {"description": "Else.", "type": "object", "default": {}},
            "token": {"description": "Opens the fridge.", "type": "string"},
            "header": {"description": "Row.", "anyOf": [{"type": "boolean"}, {"type": "integer"}], "default": True},
        },
    },
    "secrets": ["/token"],
    "requirements": ["pyyaml"],
    "examples": [{"title": "All", "config": {"path": "ham.txt"}}],
    "hints": {"aliases": {"path": ["file"]}, "synonyms": {"pieces": "slices"}, "values": {"cut": {"slim": "thin"}}},
}
DRIVER = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
if TYPE_CHECKING:
    from collections.abc import Mapping

@dataclass(frozen=True)
class Config:
    path: str
    slices: int = 2
    cut: Literal["thin", "thick"] = "thin"
    weight: float | None = None
    spices: tuple[str, ...] = ("salt",)
    options: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    header: bool | int = True

class Driver:
    def describe(self, config, ctx): ...
    def read(self, config, schema, ctx): ...
    def discover(self, ctx): ...
"""
FAMILY = (
    "name: ham\ntitle: Ham\nfields: {type: object, additionalProperties: false, properties: {key: {description: k}}}\n"
)


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "smoked_ham"

    def install(spec, driver=DRIVER, family=FAMILY):
        (package / "reader").mkdir(parents=True)
        metadata = tmp_path / "smoked_ham-1.0.dist-info"
        metadata.mkdir()
        groups = "[osiris.components]\nham.reader = smoked_ham.reader\n"
        groups += "[osiris.families]\nham = smoked_ham.ham\n" if family else ""
        (metadata / "entry_points.txt").write_text(groups)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: smoked_ham\nVersion: 1.0\n")
        (package / "reader" / "spec.yaml").write_text(yaml.safe_dump(spec))
        (package / "reader" / "driver.py").write_text(driver)
        (package / "ham.yaml").write_text(family)
        importlib.invalidate_caches()
        return check_component("ham.reader")

    yield install
    for name in [name for name in sys.modules if name.split(".")[0] == "smoked_ham"]:
        del sys.modules[name]


def changed(pointer, value):
    spec = deepcopy(SPEC)
    *path, last = pointer.split("/")
    place = spec
    for part in path:
        place = place[part]
    place[last] = value
    return spec


def test_a_component_that_keeps_its_word_passes(check):
    assert check(SPEC) == []


PROPERTY = "config/properties/"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (changed(PROPERTY + "bone", {"description": "b"}), "'bone' is in the spec and not in Config"),
        (changed(PROPERTY + "slices/default", 3), "'slices' has the default 3 in the spec and 2 in Config"),
        (changed(PROPERTY + "weight/type", "string"), "'weight' is null or string in the spec"),
        (changed(PROPERTY + "header/anyOf", [{"type": "boolean"}]), "'header' is boolean in the spec and"),
        (changed(PROPERTY + "cut/enum", ["thin", "wide"]), "'cut' has other choices"),
        (changed(PROPERTY + "cut", {"description": "c", "type": "string", "pattern": "^thi", "default": "thin"}), None),
        (
            changed(PROPERTY + "cut", {"description": "c", "type": "string", "pattern": "^thin", "default": "thin"}),
            "'cut' has other choices",
        ),
        (changed("config/required", []), "'path' is not required in the spec and has no default in Config"),
        (changed("config/required", ["path", "cut"]), "'cut' is required in the spec and has a default in Config"),
        (changed("capabilities", ["doctor"]), "it offers 'doctor', and its Driver has no method doctor"),
        (changed("capabilities", ["describe"]), None),
        (changed("family", "eggs"), "its name must begin with its family 'eggs'"),
        (changed("secrets", ["/path/inner"]), "secret /path/inner is not a key of its config"),
        (changed("requirements", ["not-installed-anywhere"]), "'not-installed-anywhere', which is not installed"),
        (changed("examples", []), "it has no examples"),
        (changed("examples", [{"title": "A", "config": {}}]), "example 'A': 'path' is required in"),
        (changed("examples", [{"title": "A", "config": {"path": "p", "timeout": "1m"}}]), None),
        (changed("hints", {"aliases": {"pth": ["file"]}}), "hints name 'pth'"),
        (changed("hints", {"synonyms": {"cut": "slices"}}), "hints read 'cut' as another key"),
        (changed("hints", {"values": {"cut": {"thick": "thin"}}}), "its config allows 'thick'"),
        (changed("hints", {"values": {"cut": {"slim": "slender"}}}), "its config does not allow 'slender'"),
    ],
)
def test_a_spec_that_says_something_else_is_found_out(spec, problem, check):
    assert_told(check(spec), problem)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    slices: int = 2", "    slices: int = 2\n    bone: int = 1", "'bone' is in Config and not in the spec"),
        ("slices: int", "slices: str", "'slices' is integer in the spec and string in Config"),
        ("options: Mapping", "options: Unknown", "the types of Config cannot be resolved"),
        ("def read(", "def reed(", "it offers 'read', and its Driver has no method read"),
        ("def read(self, config, schema, ctx)", "def read(self, config)", "method read must take 3 arguments"),
        ("class Driver:", "class Driver:\n    def __init__(self, url): ...", "made without arguments"),
    ],
)
def test_a_driver_that_does_something_else_is_found_out(old, new, problem, check):
    assert old in DRIVER
    assert_told(check(SPEC, DRIVER.replace(old, new)), problem)


def test_a_family_that_is_not_there_or_broken_is_found_out(check):
    assert_told(check(SPEC, family=""), "the family 'ham', which is not registered")


def test_another_family_that_is_not_there_is_found_out(check):
    assert_told(check({**SPEC, "families": ["eggs"]}), "the family 'eggs', which is not registered")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: ham", "name: eggs", "calls itself 'eggs'"),
        ("additionalProperties: false, ", "", "an object without additional properties"),
        ("{description: k}", "{}", "field 'key' of family 'ham' has no description"),
    ],
)
def test_a_broken_family_is_found_out(old, new, problem, check):
    assert old in FAMILY
    assert_told(check(SPEC, family=FAMILY.replace(old, new)), problem)


def test_a_component_without_connections_needs_no_family(check):
    assert check(changed("connection", "none"), family="") == []


def test_a_spec_of_another_form_goes_no_further(check):
    assert [d.code for d in check(changed("version", "1"))] == ["REG001"]


def test_a_driver_that_does_not_load_goes_no_further(check):
    assert [d.code for d in check(SPEC, "1 / 0")] == ["REG002"]


def test_an_unknown_component_does_not_pass():
    assert [d.code for d in check_component("ham.unknown")] == ["CMP001"]


def assert_told(problems, words):
    if words is None:
        assert problems == []
    else:
        assert {problem.code for problem in problems} == {"REG004"}
        assert any(words in problem.message for problem in problems), problems
