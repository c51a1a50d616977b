"""Every package here is another author's: real files on the path, with the metadata that an installer leaves behind."""

import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from importlib.metadata import distribution, entry_points

import pytest
import yaml

from osiris.api.inspect import validate_components
from osiris.canonical import fingerprint
from osiris.errors import InvalidInput
from osiris.families.supabase.connect import _NAMES, has_database
from osiris.family_spec import FAMILIES, Families, FamilySpec, entries_of, family_function, find_family, store_families
from osiris.model import ComponentSpec
from osiris.registry import RESERVED, UNSUPPORTED_RESERVED, build_config, digest_of_spec, load_registry
from osiris.units import DURATION_PATTERN

READER = {
    "name": "ham.reader",
    "version": "1.2.3",
    "title": "Ham reader",
    "description": "Reads ham.",
    "family": "ham",
    "modes": ["read"],
    "inputs": {"min": 0, "max": 0},
    "output": True,
    "connection": "optional",
    "config": {
        "type": "object",
        "required": ["path"],
        "additionalProperties": False,
        "properties": {"path": {"description": "Where the ham is.", "type": "string"}},
    },
    "requirements": ["pyyaml"],
    "hints": {"guidance": "Take thin slices."},
}
DRIVER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    path: str
    slices: int = 2

class Driver:
    pass
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in {"ham_package", "eggs_package"}]:
        del sys.modules[name]


def write(site, path, text):
    target = site / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False), encoding="utf-8")


def install(site, spec=READER, *, driver=DRIVER, package="ham_package", name="ham.reader", families=""):
    folder = f"{package}/reader"
    write(site, f"{package}/__init__.py", "raise SystemExit('imported too early')")
    write(site, f"{package}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    groups = f"[osiris.components]\n{name} = {package}.reader\n[osiris.families]\n{families}\n"
    write(site, f"{package}-1.0.dist-info/entry_points.txt", groups)
    write(site, f"{folder}/driver.py", driver)
    if spec is not None:
        write(site, f"{folder}/spec.yaml", spec)
    importlib.invalidate_caches()


def changed(**changes):
    return {**deepcopy(READER), **changes}


MEANING = {key: value for key, value in READER.items() if key not in ("title", "description", "hints")} | {
    "config": {**READER["config"], "properties": {"path": {"type": "string"}}}
}


def codes(problems):
    return [problem.code for problem in problems]


def test_a_stranger_is_found_and_described_without_importing_anything_of_it(site):
    install(site)
    registry = load_registry()
    assert "ham.reader" in registry.names()
    assert registry.find("ham.reader") == ComponentSpec(
        name="ham.reader",
        version="1.2.3",
        title="Ham reader",
        description="Reads ham.",
        family="ham",
        modes=("read",),
        config=READER["config"],
        digest=fingerprint(MEANING),
        module="ham_package.reader",
        inputs=(0, 0),
        output=True,
        connection="optional",
        requirements=("pyyaml",),
        hints={"guidance": "Take thin slices."},
    )
    assert registry.get("ham.reader") is registry.find("ham.reader")
    assert registry.find("ham.reader") in registry.all()
    assert registry.problems("ham.reader") == []
    assert "ham_package" not in sys.modules


def digest_of(site, spec):
    install(site, spec)
    return load_registry().get("ham.reader").digest


WORDED = changed(
    examples=[{"title": "Thin", "config": {"path": "ham"}}],
    config={
        "type": "object",
        "required": ["path"],
        "additionalProperties": False,
        "properties": {
            "path": {"title": "Path", "description": "Where the ham is.", "type": "string", "examples": ["ham"]},
            "title": {"type": "string", "default": "Ham", "description": "What stands above it."},
            "description": {"type": "object", "default": {"title": "x"}},
            "cuts": {"type": "array", "items": {"anyOf": [{"type": "string", "title": "Cut"}, {"type": "integer"}]}},
        },
    },
)
TEXTS = [
    ("title",),
    ("description",),
    ("hints",),
    ("examples",),
    ("config", "properties", "path", "title"),
    ("config", "properties", "path", "description"),
    ("config", "properties", "path", "examples"),
    ("config", "properties", "title", "description"),
    ("config", "properties", "cuts", "items", "anyOf", 0, "title"),
]


def inner(document, path):
    for key in path:
        document = document[key]
    return document


def leaves(value, path=()):
    """Yield the path of every value without children, and of every map and list."""
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from leaves(value[key], (*path, key))


def replaced(path):
    spec = deepcopy(WORDED)
    before = inner(spec, path)
    others = {str: f"{before}!", bool: not before, int: 7, dict: {"other": "words"}, list: ["other"]}
    inner(spec, path[:-1])[path[-1]] = others[type(before)]
    return spec


def test_the_digest_covers_what_a_spec_means_and_not_its_texts():
    first = digest_of_spec(WORDED)
    assert digest_of_spec(dict(reversed(WORDED.items()))) == first
    for path in leaves(WORDED):
        is_text = any(path[: len(text)] == text for text in TEXTS)
        assert (digest_of_spec(replaced(path)) == first) is is_text, path


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_another_wording_of_an_installed_spec_has_the_same_digest(site, path):
    first = digest_of(site, WORDED)
    spec = replaced(path) if path != ("examples",) else {**WORDED, "examples": []}
    assert digest_of(site, spec) == first


def test_an_unknown_component_is_named_with_its_neighbour(site):
    install(site)
    registry = load_registry()
    assert registry.find("ham.raeder") is None
    assert registry.problems("ham.raeder") == []
    with pytest.raises(InvalidInput) as caught:
        registry.get("ham.raeder")
    assert codes(caught.value.diagnostics) == ["CMP001"]
    assert caught.value.diagnostics[0].hint == "did you mean 'ham.reader'?"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (None, "cannot be read"),
        ("name: [", "cannot be read: line 1: "),
        ("name: \x00", "cannot be read: line 1: "),
        ("- 1", "must be a mapping"),
        ({key: value for key, value in READER.items() if key != "version"}, "'version' is missing"),
        (changed(modes="read"), "'modes' is unknown or of the wrong type"),
        (changed(colour="pink"), "'colour' is unknown or of the wrong type"),
        (changed(name="ham.writer"), "registered as 'ham.reader' and calls itself 'ham.writer'"),
        (changed(config={"type": "object"}), "'config' must be a JSON Schema of an object"),
        (yaml.safe_dump(READER) + "hints: {}", "key 'hints' appears twice"),
    ],
)
def test_a_spec_that_cannot_be_read_is_reported_and_stands_in_nobodys_way(spec, words, site):
    install(site, spec)
    install(site, changed(name="eggs.reader"), package="eggs_package", name="eggs.reader")
    registry = load_registry()
    assert registry.get("eggs.reader").module == "eggs_package.reader"
    assert registry.find("ham.reader") is None
    problems = registry.problems("ham.reader")
    assert codes(problems) == ["REG001"]
    assert words in problems[0].message
    assert problems[0].location.file == "ham_package/reader/spec.yaml"
    with pytest.raises(InvalidInput) as caught:
        registry.get("ham.reader")
    assert list(caught.value.diagnostics) == problems


def test_a_spec_that_is_not_utf8_is_reported(site):
    install(site)
    (site / "ham_package/reader/spec.yaml").write_bytes(b"name: \xff")
    assert "is not UTF-8" in load_registry().problems("ham.reader")[0].message


def test_a_name_that_leads_nowhere_is_reported(site):
    install(site)
    write(
        site, "ham_package-1.0.dist-info/entry_points.txt", "[osiris.components]\nham.reader = ham_package.nowhere.x\n"
    )
    problem = load_registry().problems("ham.reader")[0]
    assert "'ham_package.nowhere.x', which is not a package" in problem.message


WITHOUT_DESCRIPTION = {**READER["config"], "properties": {"path": {"type": "string"}}}
OPEN = {**READER["config"], "additionalProperties": True}
NO_SCHEMA = {**READER["config"], "properties": {"path": {"description": "Where.", "type": "sting"}}}


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        (changed(version="1"), "/version"),
        (changed(title=""), "/title"),
        (changed(modes=["extract"]), "/modes/0"),
        (changed(capabilities=["fly"]), "/capabilities/0"),
        (changed(inputs={"min": 0, "max": 1}), "/inputs/max"),
        (changed(output=False), "/output"),
        (changed(delivery="atomic_replace"), None),
        (changed(modes=["write"], output=False, inputs={"min": 1, "max": 1}), None),
        (changed(secrets=["path"]), "/secrets/0"),
        (changed(examples=[{"config": {}}]), "/examples/0"),
        (changed(hints={"advice": "x"}), "/hints"),
        (changed(config=OPEN), "/config/additionalProperties"),
        (changed(config=WITHOUT_DESCRIPTION), "/config/properties/path"),
        (changed(config=NO_SCHEMA), "/config/properties/path/type"),
    ],
)
def test_a_spec_of_another_form_is_refused_when_it_is_used(spec, pointer, site):
    install(site, spec)
    registry = load_registry()
    problems = registry.problems("ham.reader")
    assert codes(problems) == ["REG001"]
    assert problems[0].location.pointer == pointer
    with pytest.raises(InvalidInput) as caught:
        registry.config_schema(registry.get("ham.reader"))
    assert list(caught.value.diagnostics) == problems


def test_all_problems_of_all_specs_are_gathered(site):
    install(site, changed(version="1", title=""))
    install(site, None, package="eggs_package", name="eggs.reader")
    found = [p for p in load_registry().problems() if p.location.file.split("/")[0] in {"ham_package", "eggs_package"}]
    assert codes(found) == ["REG001"] * 3


def test_two_distributions_cannot_share_a_name(site):
    install(site)
    install(site, package="eggs_package")
    registry = load_registry()
    assert registry.find("ham.reader") is None
    problem = registry.problems("ham.reader")[0]
    assert problem.code == "REG003"
    assert "eggs_package and ham_package" in problem.message


def test_what_an_earlier_name_of_the_distribution_left_behind_is_not_found_twice(site):
    theirs = next(file for file in distribution("osiris-data").files if file.name == "entry_points.txt")
    write(site, "osiris-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: osiris\nVersion: 0.1.0\n")
    write(site, "osiris-0.1.0.dist-info/entry_points.txt", theirs.read_text())
    assert len(list(entry_points(group="osiris.components", name="filesystem.csv_writer"))) == 2
    registry = load_registry()
    assert registry.problems() == []
    assert registry.family("filesystem").name == "filesystem"
    assert registry.get("filesystem.csv_writer").module == "osiris.components.filesystem_csv_writer"


@pytest.mark.parametrize(
    ("requires", "told"),
    [
        *((text, True) for text in ("osiris", "Osiris>=0.1", "osiris ; python_version > '3'", "osiris[chat]==1")),
        *((text, False) for text in ("osiris-data", "osiris_data>=0.1", "osiris.x", "pyarrow")),
    ],
)
def test_a_package_that_requires_another_authors_osiris_is_told(site, requires, told):
    install(site)
    path = site / "ham_package-1.0.dist-info" / "METADATA"
    path.write_text(f"{path.read_text()}Requires-Dist: {requires}\n", encoding="utf-8")
    names, problems = validate_components("ham.reader")
    assert (names, codes(problems)) == (["ham.reader"], ["REG001"] * told)
    assert all("osiris-data" in problem.message for problem in problems)
    assert load_registry().find("ham.reader") is not None


def test_a_config_has_the_components_keys_and_the_shared_ones_of_this_version(site):
    own = {"timeout": {"description": "Of one request.", "type": "integer"}, **READER["config"]["properties"]}
    install(site, changed(config={**READER["config"], "properties": own}))
    registry = load_registry()
    schema = registry.config_schema(registry.get("ham.reader"))
    shared = {key: RESERVED[key] for key in ("cast", "retry", "on_reject", "checks", "cursor", "deletes")}
    assert schema["properties"] == {**shared, **own}
    assert schema["required"] == ["path"]
    assert schema["additionalProperties"] is False
    assert set(RESERVED) - set(UNSUPPORTED_RESERVED) == {
        *("cast", "timeout", "retry", "on_reject", "checks"),
        *("cursor", "deletes"),
    }


def test_a_driver_is_loaded_on_demand(site):
    install(site)
    write(site, "ham_package/__init__.py", "")
    config, driver = load_registry().load_driver("ham.reader")
    assert (config.__module__, driver.__name__) == ("ham_package.reader.driver", "Driver")
    assert build_config(config, {"path": "p", "cast": {"a": "utf8"}}) == config("p", 2)
    assert build_config(config, {"path": "p", "slices": 3}) == config("p", 3)


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("import not_installed_anywhere", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError"),
        ("class Config: pass\nclass Driver: pass", "no dataclass Config"),
        (DRIVER.replace("class Driver", "class Dryver"), "no class Driver"),
        (DRIVER + "\nDriver = 3", "no class Driver"),
    ],
)
def test_a_driver_that_does_not_load_is_reported(driver, words, site):
    install(site, driver=driver)
    write(site, "ham_package/__init__.py", "")
    with pytest.raises(InvalidInput) as caught:
        load_registry().load_driver("ham.reader")
    assert codes(caught.value.diagnostics) == ["REG002"]
    assert words in str(caught.value)


def test_a_family_says_what_its_connections_hold(site):
    fields = {"type": "object", "additionalProperties": False, "properties": {"key": {"x-secret": True}}}
    install(site, families="ham = ham_package.ham")
    write(site, "ham_package/ham.yaml", {"name": "ham", "title": "Ham", "fields": fields})
    registry = load_registry()
    assert "ham" in registry.families()
    assert registry.family("ham") == FamilySpec("ham", "Ham", fields)
    assert registry.family("spam") is None
    assert "ham_package" not in sys.modules


def test_a_family_states_where_its_connections_lead(site):
    install(site, families="ham = ham_package.ham")
    stated = {"scheme": "ham", "folds_case": True, "aliases": ["bacon"], "unheard_of": 1}
    write(site, "ham_package/ham.yaml", {"name": "ham", "title": "Ham", "fields": {}, **stated})
    family = FamilySpec("ham", "Ham", {}, scheme="ham", folds_case=True, aliases=["bacon"])
    assert load_registry().family("ham") == find_family("ham") == family
    assert store_families() == {"s3": "s3", "az": "azure", "gs": "gcs", "ham": "ham"}
    assert not family.is_local
    assert family.may_name_file == ()


def test_a_family_that_states_nothing_may_have_its_database_in_a_file(site):
    assert FamilySpec("ham", "Ham", {}).may_name_file == ("path", "database", "file")
    assert not FamilySpec("ham", "Ham", {}).is_local
    assert find_family("ham").name == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: ham\ntitle: Ham\nfields: {}\nport: high", "'port' is of the wrong type"),
        ("name: ham\ntitle: Ham", "mapping with name, title and fields"),
        ("name: eggs\ntitle: Ham\nfields: {}", "calls itself 'eggs'"),
        ("[", "cannot be read: line 1: "),
    ],
)
def test_a_family_that_cannot_be_read_is_reported_when_it_is_used(text, words, site):
    install(site, families="ham = ham_package.ham")
    write(site, "ham_package/ham.yaml", text)
    with pytest.raises(InvalidInput) as caught:
        load_registry().family("ham")
    assert codes(caught.value.diagnostics) == ["REG001"]
    assert words in str(caught.value)


def with_defaults(schema, *examples):
    """Return a spec with this config schema and a `path`; each example is a config."""
    properties = {"path": {"description": "Where the ham is.", "type": "string"}, **schema.pop("properties", {})}
    config = {"type": "object", "additionalProperties": False, "properties": properties, **schema}
    shown = [{"title": f"Example {number}", "config": example} for number, example in enumerate(examples)]
    return changed(config=config, **({"examples": shown} if shown else {}))


def optional(default, kind="integer", **more):
    return {"description": "Some more.", "type": kind, "default": default, **more}


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (with_defaults({"properties": {"many": optional("lots")}}), "config/properties/many/default"),
        (with_defaults({"properties": {"many": optional(0, minimum=1)}}), "config/properties/many/default"),
        (
            with_defaults({"properties": {"page": optional({}, "object", properties={"many": optional(None)})}}),
            "config/properties/page/properties/many/default",
        ),
        (
            with_defaults({"properties": {"parts": optional([], "array", items=optional("x"))}}),
            "config/properties/parts/items/default",
        ),
        (
            with_defaults({"properties": {"many": optional(0)}, "dependentRequired": {"many": ["path"]}}),
            "config/properties/many",
        ),
        (
            with_defaults(
                {"properties": {"many": optional(0)}, "oneOf": [{"required": ["path"]}, {"required": ["many"]}]},
                {"path": "a"},
            ),
            "examples/0",
        ),
        (
            with_defaults(
                {
                    "properties": {"how": optional("all", "string"), "key": optional("", "string")},
                    "if": {"properties": {"how": {"const": "all"}}, "required": ["how"]},
                    "then": {"properties": {"path": {"const": "b"}}},
                },
                {"path": "b"},
                {"path": "a", "how": "one"},
                {"path": "a"},
            ),
            "examples/2",
        ),
    ],
)
def test_a_default_that_the_spec_itself_would_refuse_is_reported(spec, place, site):
    install(site, spec)
    problems = load_registry().problems("ham.reader")
    assert codes(problems) == ["REG001"]
    assert problems[0].location.pointer == f"/{place}"


def test_defaults_that_leave_every_config_valid_are_taken(site):
    schema = {
        "properties": {"many": optional(0), "m": optional({"many": 1}, "object", properties={"many": optional(3)})},
        "required": ["path"],
        "dependentRequired": {"many": ["path"]},
    }
    install(site, with_defaults(schema, {"path": "a"}, {"path": "b", "many": 3}))
    assert load_registry().problems("ham.reader") == []


@pytest.mark.parametrize("name", [*_NAMES["dsn"], *_NAMES["host"], *_NAMES["port"], "url", "key"])
def test_the_fields_that_lead_to_a_database_are_those_that_its_module_knows(name):
    assert find_family("supabase").leads_to_database({name: "x"}) == has_database({name: "x"})


def test_durations_of_shared_keys_are_those_that_are_read():
    retry, timeout = RESERVED["retry"]["properties"]["backoff"], RESERVED["timeout"]["anyOf"][1]
    assert retry["pattern"] == timeout["pattern"] == DURATION_PATTERN


def test_threads_that_ask_at_once_know_all_stores():
    for _ in range(20):
        families = Families(*entries_of(FAMILIES))
        begin = threading.Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda each, wait: (wait(), dict(each.stores))[1], [families] * 4, [begin.wait] * 4))
        assert found == [{"s3": "s3", "az": "azure", "gs": "gcs"}] * 4


FAMILY = "name: {}\ntitle: A family\nfields: {{type: object}}\n"
OBJECT = """
class Family:
    def examine(self, *_):
        return "asked"

HAM = Family()
"""


def test_a_family_may_be_an_object_which_is_loaded_when_it_is_asked(site):
    """Entry points of a package and of a module beside others load as before."""
    lines = "ham = ham_package.database:HAM\neggs = ham_package.eggs\nspam = ham_package\n"
    install(site, families=lines)
    for path, name in (("family.yaml", "ham"), ("eggs.yaml", "eggs")):
        write(site, f"ham_package/{path}", FAMILY.format(name))
    assert find_family("ham").title == "A family"
    assert find_family("eggs").title == "A family"
    assert find_family("spam").title == ""  # it calls itself ham
    assert not {name for name in sys.modules if name.startswith("ham_package")}
    write(site, "ham_package/__init__.py", "")
    write(site, "ham_package/database.py", OBJECT)
    write(site, "ham_package/eggs.py", "")
    write(site, "ham_package/eggs_doctor.py", "def examine(*_):\n    return 'beside'\n")
    write(site, "ham_package/doctor.py", "def examine(*_):\n    return 'inside'\n")
    importlib.invalidate_caches()
    said = {name: family_function(name, "doctor", "examine")() for name in ("ham", "eggs", "spam")}
    assert said == {"ham": "asked", "eggs": "beside", "spam": "inside"}
    assert family_function("ham", "discover", "discovering") is None
    assert family_function("none", "doctor", "examine") is None
