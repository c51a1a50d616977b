"""A suggested fix changes one part of a text, and everything else stays: comments, quotes, layout."""

import json

import pytest
import yaml

from osiris.document import read_document
from osiris.document.edits import add, drop, put, rename, retype
from osiris.errors import Diagnostic, InvalidInput
from osiris.oml.fix import apply_fix
from osiris.secret import redacted

TEXT = """\
# The nightly run.
name: "a"   # quoted

steps:
  # first
  - id: load  # its name
    mode: read
    config: {path: x.csv, columns: [a, b]}
    needs: []

  - id: sums
    config:
      query: |
        -- why
        SELECT a
        FROM load
      table: t
"""


def fixed(text, fix):
    return apply_fix(text, Diagnostic("OML002", "x", fix=fix))


def changed(fix):
    """Return the lines of TEXT that a fix removes and those that it adds."""
    before, after = TEXT.splitlines(), fixed(TEXT, fix).splitlines()
    return [line for line in before if line not in after], [line for line in after if line not in before]


@pytest.mark.parametrize(
    ("fix", "gone", "new"),
    [
        (put("/name", "b"), ['name: "a"   # quoted'], ["name: b   # quoted"]),
        (put("/name", "yes"), ['name: "a"   # quoted'], ['name: "yes"   # quoted']),
        (rename("/steps/0/mode", "kind"), ["    mode: read"], ["    kind: read"]),
        (rename("/steps/0/id", "name"), ["  - id: load  # its name"], ["  - name: load  # its name"]),
        (drop("/steps/0/mode"), ["    mode: read"], []),
        (drop("/steps/1/id"), ["  - id: sums", "    config:"], ["  - config:"]),
        (
            drop("/steps/0/config/path"),
            ["    config: {path: x.csv, columns: [a, b]}"],
            ["    config: {columns: [a, b]}"],
        ),
        (
            drop("/steps/0/config/columns"),
            ["    config: {path: x.csv, columns: [a, b]}"],
            ["    config: {path: x.csv}"],
        ),
        (add("/oml_version", "0.1.0"), [], ['oml_version: "0.1.0"']),
        (add("/steps/1/mode", "transform"), [], ["    mode: transform"]),
        (add("/steps/0/needs/-", "sums"), ["    needs: []"], ["    needs: [sums]"]),
        (put("/steps/1/config", {"path": "a: b"}), None, ['    config: {path: "a: b"}']),
        (put("/steps/1/config/query", "SELECT b\nFROM load\n"), ["        -- why", "        SELECT a"], None),
        (retype(7, 5, "mode", "kind"), ["    mode: read"], ["    kind: read"]),
    ],
)
def test_one_place_changes(fix, gone, new):
    found_gone, found_new = changed(fix)
    assert gone is None or found_gone == gone
    assert new is None or found_new == new


def test_a_block_stays_a_block():
    text = fixed(TEXT, put("/steps/1/config/query", "SELECT b\n\nFROM load\n"))
    assert "      query: |\n        SELECT b\n\n        FROM load\n      table: t\n" in text


@pytest.mark.parametrize("head", ["|", ">-", "|2", "|+", "|-  # why"])
@pytest.mark.parametrize("value", ["  indented\nnot\n", "plain\n  more\n", "\n  late\nless\n"])
@pytest.mark.parametrize("text", ["s:\n  - q: {}\n      old\n    t: 1\n", "q: {}\n  old\nt: 1\n", "- {}\n  old\n- t\n"])
def test_a_block_says_how_deep_it_is_where_its_first_line_is_indented(head, value, text):
    pointer = {"s": "/s/0/q", "q": "/q", "-": "/0"}[text[0]]
    found = fixed(text.format(head), put(pointer, value))
    document = yaml.safe_load(found)
    block = document["s"][0]["q"] if text[0] == "s" else document["q"] if text[0] == "q" else document[0]
    assert block.rstrip("\n") == value.rstrip("\n")


def test_lines_that_end_in_two_characters_go_on_so():
    text = TEXT.replace("\n", "\r\n")
    for fix in (
        put("/steps/1/config/query", "SELECT b\nFROM load\n"),
        add("/oml_version", "0.1.0"),
        drop("/steps/0/mode"),
        retype(7, 5, "mode", "kind"),
    ):
        assert fixed(text, fix) == fixed(TEXT, fix).replace("\n", "\r\n") != text
    assert fixed("a: 1\r\nb: 2\n", put("/b", 3)) == "a: 1\r\nb: 3\n"


def test_a_text_that_is_broken_is_refused():
    with pytest.raises(LookupError):
        fixed("a: [1\nb: {", put("/a", 1))


def test_nothing_behind_a_key_gets_a_value():
    assert fixed("a:\nb: 1\n", put("/a", "x")) == "a: x\nb: 1\n"
    assert fixed("a:\nb: 1\n", add("/a/c", "x")) == "a: {c: x}\nb: 1\n"


def test_of_a_key_that_is_there_twice_the_last_goes():
    assert fixed("a: 1\nb: 2\na: 1\n", drop("/a")) == "a: 1\nb: 2\n"


def test_the_last_entry_leaves_its_brackets():
    assert fixed("a:\n  b: 1\n", drop("/a/b")) == "a: {}\n"
    assert fixed("a:\n  - b\n", drop("/a/0")) == "a: []\n"


def test_entries_of_a_list_go_and_come():
    assert fixed("a:\n  - b\n  - c\n", drop("/a/0")) == "a:\n  - c\n"
    assert fixed("a:\n  - b\n", add("/a/-", "c")) == "a:\n  - b\n  - c\n"
    assert fixed("a: [b]\n", add("/a/-", "c, d")) == 'a: [b, "c, d"]\n'


@pytest.mark.parametrize("fix", [put("/b", 1), drop("/a/7"), rename("/x", "y"), retype(1, 1, "zzz", "")])
def test_a_fix_of_another_text_is_refused(fix):
    with pytest.raises(LookupError):
        fixed("a: [1]\n", fix)


MISTAKES = {
    "name: x\n\tsteps: []\n": "name: x\nsteps: []\n",
    "name:x\nsteps: []\n": "name: x\nsteps: []\n",
    "name x\nsteps: []\n": "name: x\nsteps: []\n",
    "name: x\n steps: []\n": "name: x\nsteps: []\n",
    'name: "x\nsteps: []\n': 'name: "x"\nsteps: []\n',
    "steps: [a, {b: c]\nname: x\n": "steps: [a, {b: c}]\nname: x\n",
    "name: x: y\nsteps: []\n": 'name: "x: y"\nsteps: []\n',
    "name: *.csv\nsteps: []\n": 'name: "*.csv"\nsteps: []\n',
    'name: "a\\data"\nsteps: []\n': "name: 'a\\data'\nsteps: []\n",
    "Here:\n```yaml\nname: x\n```\nGood luck!\n": "name: x\n\n",
    "name: yes\n": 'name: "yes"\n',
    "name: @x\n": 'name: "@x"\n',
    "name: &a x\n": "name: x\n",
    "name: !!str 5\n": 'name: "5"\n',
    "name: x\nname: x\n": "name: x\n",
    "l:\n  - a: 1\n    b: 2\n    a: 2\n": "l:\n  - a: 1\n    b: 2\n  - a: 2\n",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_what_is_not_yaml_is_mended(text):
    with pytest.raises(InvalidInput) as caught:
        read_document(text, "x.yaml")
    assert apply_fix(text, caught.value.diagnostics[0]) == MISTAKES[text]


def test_a_merge_is_left_to_people_but_found():
    with pytest.raises(InvalidInput) as caught:
        read_document("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> other\n", "x.yaml")
    (problem,) = caught.value.diagnostics
    assert (problem.location.line, problem.fix) == (2, ())


def test_json_has_the_fix_and_keeps_it():
    found = Diagnostic("OML002", "x", fix=drop("/a"))
    data = json.loads(json.dumps(found.to_json()))
    assert data["fix"] == [{"op": "remove", "path": "/a"}]
    assert Diagnostic.from_json(data).fix == found.fix
    assert "fix" not in Diagnostic("OML002", "x").to_json()


@pytest.mark.parametrize(
    "fix",
    [
        put("/steps/0/config/password", "12345"),
        put("/description", "postgres://me:Zq7canaryXw9@db/x"),
        put("/steps", [{"config": {"password": "hunter2-Xq7!"}}]),
        rename("/postgres:~1~1u:Zq7canaryXw9@h~1db", "x"),
        retype(1, 1, "password: hunter2-Xq7!", ""),
    ],
)
def test_a_fix_that_repeats_a_secret_is_not_told(fix):
    assert redacted(Diagnostic("OML002", "x", fix=fix)).fix == ()
    assert redacted(Diagnostic("OML002", "x", fix=drop("/a"))).fix
