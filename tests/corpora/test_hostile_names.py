"""The hostile names are what they say: files can have them or not, and they break readers that take them as text."""

import os
import re
import subprocess
import zoneinfo
from collections import Counter

import pytest
import yaml
from tests.corpora.hostile_names import (
    FILE_NAMES,
    NOT_FILE_NAMES,
    NOT_UTF8,
    VALID_BUT_DANGEROUS,
    VARIABLES,
    ZONES,
    each,
)

ALL = (*FILE_NAMES, *NOT_UTF8, *NOT_FILE_NAMES)


def test_there_are_enough_and_none_twice():
    assert len(FILE_NAMES) >= 60
    for names in (ALL, ZONES, VARIABLES):
        assert [name for name, times in Counter(one.name for one in names).items() if times > 1] == []
        assert all(one.reader and one.breaks and "\n" not in one.breaks for one in names)


@pytest.mark.parametrize("name", each((*FILE_NAMES, *NOT_UTF8)))
def test_files_can_have_these_names(tmp_path, name):
    for whole in (name, f"{name}.yaml"):
        (tmp_path / whole).write_text("x")
        assert whole in os.listdir(tmp_path)


@pytest.mark.parametrize("name", each(NOT_FILE_NAMES))
def test_no_file_can_have_these_names(tmp_path, name):
    with pytest.raises((OSError, ValueError)):
        os.close(os.open(os.path.join(tmp_path, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def as_yaml(name):
    """Return the name in YAML as a value, a key and a document, without quotes."""
    return [
        lambda: yaml.safe_load(f"x: {name}")["x"],
        lambda: next(iter(yaml.safe_load(f"{name}: x"))),
        lambda: yaml.safe_load(name),
    ]


def as_python(name):
    """Return the name in literals of Python without escapes, and as an identifier."""
    quoted = [f"f'{name}'", f'"{name}"', f"'''{name}'''", f'"""{name}"""', f"'{name}' % ()", f"'{name}'.format()"]
    literals = [lambda text=text: eval(text, {"__builtins__": {}}) for text in quoted]
    return [*literals, lambda: compile(f"{name} = 1", "x", "exec").co_names[0]]


def is_kept(read, name):
    """Return whether all ways of a reader give the name back."""
    try:
        return all(way() == name for way in read(name))
    except Exception:  # noqa: BLE001
        return False


@pytest.mark.parametrize(("reader", "read"), [("YAML", as_yaml), ("Python", as_python)])
def test_each_name_breaks_its_reader(reader, read):
    unbroken = {one.name for one in FILE_NAMES if one.reader == reader and is_kept(read, one.name)}
    assert unbroken == ({"0o7", "1e3"} if reader == "YAML" else set())  # numbers in YAML 1.2, which PyYAML is not
    assert all(is_kept(read, name) for name in ("plain", "two_words"))


def test_a_shell_evaluates_what_is_not_quoted(tmp_path):
    for one in FILE_NAMES:
        if one.reader == "shell" and "touch PWNED" in one.name:
            subprocess.run(["sh", "-c", f"echo '{one.name}' \"{one.name}\" {one.name}"], cwd=tmp_path, check=False)
            assert (tmp_path / "PWNED").exists(), one
            (tmp_path / "PWNED").unlink()


@pytest.mark.parametrize("name", each(ZONES))
def test_these_are_no_zones(name):
    listed = zoneinfo.available_timezones() - {"localtime"}
    assert name not in listed


@pytest.mark.parametrize("name", each(VARIABLES))
def test_these_are_no_variables(name):
    assert not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)


def test_these_are_variables():
    assert all(re.fullmatch(r"[A-Z_]+", one.name) for one in VALID_BUT_DANGEROUS)
