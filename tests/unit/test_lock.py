import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osiris.errors import OsirisError
from osiris.lock import Pin, Source, load_lock, lock_text, pin_changes, pin_of, save_lock, source_of
from osiris.model import Described, Field
from osiris.project import Project
from osiris.registry import load_registry

SCHEMA = (Field("id", "int64", nullable=False), Field("name", "utf8"))
STEP = {"component": "filesystem.csv_extractor", "connection": None, "config": {"path": "in.csv", "delimiter": ","}}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def source(name="in.csv", key="a" * 64, **config):
    return Source("filesystem.csv_extractor", None, {"path": name, **config}, key)


def codes(project):
    with pytest.raises(OsirisError) as caught:
        load_lock(project)
    return [(d.code, d.location.file, d.location.line) for d in caught.value.diagnostics], caught.value.exit_code


def identity(**changes):
    spec = load_registry().get("filesystem.csv_extractor")
    return source_of({**STEP, **changes}, spec, changes.pop("fields", None))


def test_what_decides_a_schema_makes_another_source():
    keys = [
        identity().key,
        identity(config={"path": "other.csv"}).key,
        identity(config={"path": "in.csv", "delimiter": ";"}).key,
        identity(config={"path": "in.csv", "cast": {"id": "int32"}}).key,
        identity(connection="@filesystem.lake").key,
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("config", [{"path": "in.csv"}, {"path": "in.csv", "timeout": "5m", "sample": 100_000}])
def test_what_decides_nothing_makes_the_same_source(config):
    found = identity(config=config)
    assert (found.key, found.config, str(found)) == (identity().key, {"path": "in.csv"}, "in.csv")


def test_connection_with_other_fields_is_another_source():
    spec = load_registry().get("filesystem.csv_extractor")
    step = {**STEP, "connection": "@filesystem.lake"}
    first, second = (source_of(step, spec, {"base_dir": name}) for name in ("a", "b"))
    assert first.key != second.key
    assert str(first) == "@filesystem.lake in.csv"


def test_saved_and_loaded(project):
    pin = pin_of(source(), Described(SCHEMA, "fixed", native=("id",)))
    save_lock(project, "p", [pin], refreshed=False)
    (loaded,) = load_lock(project).values()
    assert (loaded.described, loaded.pipelines) == (Described(SCHEMA, "fixed", native=("id",)), ("p",))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", loaded.pinned_at)


def test_saving_the_same_again_changes_no_byte(project):
    pins = [pin_of(source(name, name[0] * 64), Described(SCHEMA)) for name in ("b.csv", "a.csv")]
    save_lock(project, "p", pins, refreshed=False)
    before = project.lock_file.stat()
    save_lock(project, "p", pins[::-1], refreshed=True)
    after = project.lock_file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [line for line in project.lock_file.read_text().splitlines() if '"path"' in line] == [
        '      "path": "a.csv"',
        '      "path": "b.csv"',
    ]


def test_only_a_source_that_says_something_else_gets_a_new_time(project):
    old = [Pin(source(name, name * 64), SCHEMA, "free", None, "2020-01-01T00:00:00Z", ("p",)) for name in ("a", "b")]
    project.lock_file.write_text(lock_text({pin.source.key: pin for pin in old}))
    changed = pin_of(source("b", "b" * 64), Described(SCHEMA[:1]))
    save_lock(project, "p", [pin_of(source("a", "a" * 64), Described(SCHEMA)), changed], refreshed=True)
    times = {pin.source.config["path"]: pin.pinned_at for pin in load_lock(project).values()}
    assert times["a"] == "2020-01-01T00:00:00Z"
    assert times["b"] > "2026"


def test_only_a_refresh_lets_go_what_a_pipeline_reads_no_more(project):
    shared, own, other = (pin_of(source(name, name * 64), Described(SCHEMA)) for name in "abc")
    save_lock(project, "p", [shared, own], refreshed=False)
    save_lock(project, "q", [shared, other], refreshed=False)
    save_lock(project, "p", [shared], refreshed=False)
    assert len(load_lock(project)) == 3
    save_lock(project, "p", [], refreshed=True)
    assert {pin.source.config["path"]: pin.pipelines for pin in load_lock(project).values()} == {
        "a": ("q",),
        "c": ("q",),
    }


def test_no_file_is_an_empty_lock(project):
    assert load_lock(project) == {}
    save_lock(project, "p", [], refreshed=True)
    assert not project.lock_file.exists()


def test_changes_are_told_by_column():
    pin = pin_of(source(), Described((Field("a", "int64"), Field("b", "utf8"), Field("c", "date")), "fixed", native=()))
    new = pin_of(source(), Described((Field("c", "date"), Field("b", "bool"), Field("d", "utf8")), "free"))
    assert [str(change) for change in pin_changes(pin, new)] == [
        "column 'a' was removed (it was int64)",
        "column 'd' is new (utf8)",
        "column 'b' was utf8 and is now bool",
        "its columns are in another order: they were b, c and are now c, b",
        "the order of its rows was fixed and is now free",
    ]
    (change,) = pin_changes(pin, replace(pin, native=None))
    assert str(change) == "columns that DuckDB reads directly: they were none and are now unknown"
    assert pin_changes(pin, pin) == []


@pytest.fixture
def text(project):
    """Return a valid lock of two sources."""
    pins = [pin_of(source(name, name[0] * 64), Described(SCHEMA)) for name in ("a.csv", "b.csv")]
    save_lock(project, "p", pins, refreshed=False)
    return project.lock_file.read_text()


HARM = {
    "type": ('"int64 not null"', '"int32 not null"'),
    "name": ('"id"', '"key"'),
    "nullable": ("int64 not null", "int64"),
    "order": ('"free"', '"fixed"'),
    "unknown order": ('"free"', '"chaos"'),
    "path": ('"a.csv"', '"c.csv"'),
    "source": ("a" * 64, "f" * 64),
    "fingerprint": ('fingerprint: "', 'fingerprint: "0'),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_entry_that_was_changed_is_refused_with_its_line(project, text, harm):
    """LCK003."""
    project.lock_file.write_text(text.replace(*harm, 1))
    assert codes(project) == ([("LCK003", "osiris.lock", 5)], 4)


def test_time_and_pipelines_may_be_changed(project, text):
    project.lock_file.write_text(text.replace('["p"]', '["q"]').replace('pinned_at: "2', 'pinned_at: "1'))
    assert {pin.pipelines for pin in load_lock(project).values()} == {("q",)}


CONFLICTS = ["<<<<<<< HEAD", "=======", ">>>>>>> other", "||||||| base"]


@pytest.mark.parametrize("mark", CONFLICTS)
def test_merge_conflict_is_refused_with_its_line(project, text, mark):
    """LCK002."""
    lines = text.splitlines()
    project.lock_file.write_text("\n".join([*lines[:6], mark, *lines[6:]]))
    assert codes(project) == ([("LCK002", "osiris.lock", 7)], 4)


@pytest.mark.parametrize(("version", "exit_code"), [("3", 2), ('"1"', 2), ("null", 2)])
def test_other_version_is_refused(project, text, version, exit_code):
    """LCK004."""
    project.lock_file.write_text(text.replace("lock_version: 1", f"lock_version: {version}"))
    assert codes(project) == ([("LCK004", "osiris.lock", 3)], exit_code)


def test_source_that_stands_twice_is_refused(project, text):
    """LCK005."""
    begin = text.index("  - component")
    project.lock_file.write_text(text + text[begin:])
    found, code = codes(project)
    assert ([each[0] for each in found], code) == (["LCK005", "LCK005"], 4)
    assert found[0][2] == len(text.splitlines()) + 1


BROKEN = {
    "no YAML": ("lock_version", "\tlock_version", 3),
    "no version": ("lock_version: 1\n", "", 3),
    "a list": (None, "- 1\n", 1),
    "unknown key": ("lock_version: 1", "lock_version: 1\nmore: 1", 4),
    "no sources": ("sources:", "sauces:", 4),
    "entry is text": (None, "lock_version: 1\nsources: [x]\n", 2),
    "missing key": ('    order: "free"\n', "", 5),
    "unknown key of an entry": ('    order: "free"\n', '    order: "free"\n    more: 1\n', 5),
    "number for a text": ('"a.csv"', "1", 5),
    "column without a type": ('"id": "int64 not null"', "id", 5),
    "two columns in one": ('- "id"', '- "x": "utf8"\n        "id"', 5),
}


@pytest.mark.parametrize("harm", BROKEN.values(), ids=BROKEN)
def test_what_is_not_understood_is_refused_with_its_line(project, text, harm):
    """LCK001."""
    old, new, line = harm
    project.lock_file.write_text(new if old is None else text.replace(old, new, 1))
    (found, *_), code = codes(project)
    assert (found, code) == (("LCK001", "osiris.lock", line), 4)


def test_every_entry_that_is_wrong_is_told(project, text):
    project.lock_file.write_text(text.replace('"int64 not null"', '"int8"'))
    assert [code for code, *_ in codes(project)[0]] == ["LCK003", "LCK003"]


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
schemas = st.lists(
    st.builds(Field, names, st.sampled_from(["int64", 'struct<"a b":int8,"c":utf8>']), st.booleans()), max_size=4
)


@given(names, schemas, names, st.none() | st.lists(names, max_size=3))
def test_any_name_comes_back_as_it_was(tmp_path_factory, path, schema, pipeline, native):
    project = Project(tmp_path_factory.mktemp("lock"))
    pin = pin_of(source(path), Described(tuple(schema), "free", native=None if native is None else tuple(native)))
    save_lock(project, pipeline, [pin], refreshed=False)
    (loaded,) = load_lock(project).values()
    assert (loaded.described, loaded.pipelines, loaded.source) == (pin.described, (pipeline,), pin.source)


@pytest.mark.parametrize("length", [990, 998, 999, 1021, 1022, 1024, 5000, 100_000])
@pytest.mark.parametrize("letter", ["x", '"', "\u2028", "😀"])
def test_a_name_of_any_length_comes_back_as_it_was(project, length, letter):
    schema = (Field("id", "int64"), Field(letter * length, "utf8", nullable=False), Field("last", "utf8"))
    pin = pin_of(source(), Described(schema, "free"))
    save_lock(project, "p", [pin], refreshed=False)
    (loaded,) = load_lock(project).values()
    assert loaded.schema == schema


def test_folder_in_the_place_of_the_lock(project):
    project.lock_file.mkdir()
    assert codes(project)[0][0][0] == "LCK001"
