"""Output never controls the terminal, and JSON output is one line of ASCII."""

import errno
import io
import json
import os
import pty
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osiris.cli.render import Answer, Console, diagnostic_lines, envelope, safe, table
from osiris.errors import Diagnostic, Location, diagnostic

HOSTILE = [
    "\x1b]0;owned\x07",
    "\x1b[2J",
    "\x9b31m",
    "\u202eoved",
    "a\u200bb",
    "one\rtwo",
    "a\nb",
    "\x7f",
    "\ud800",
    "\t",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_safe_spells_what_a_terminal_would_act_upon(text):
    assert safe(text).isprintable()
    assert safe(text) != text


def test_safe_keeps_ordinary_text():
    assert safe("Krüger, 日本語, naïve, 100 %") == "Krüger, 日本語, naïve, 100 %"


@given(st.text())
def test_safe_is_one_printable_line_and_idempotent(text):
    assert not {unicodedata.category(c) for c in safe(text)} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
    assert safe(safe(text)) == safe(text)


def captured(**options):
    return Console(out=io.StringIO(), err=io.StringIO(), **options)


def test_results_go_to_stdout_and_talk_to_stderr():
    console = captured()
    code = console.finish(Answer({"n": 1}, ["row"], [diagnostic("PRJ001", start="x")], ["osiris init"]))
    assert code == 2
    assert console.out.getvalue() == "row\n"
    assert console.err.getvalue().splitlines() == [
        "PRJ001 no osiris.yaml in x or above",
        "  hint: run 'osiris init' or pass -C DIR",
        "next: osiris init",
    ]


def test_json_has_stdout_for_itself():
    console = captured(wants_json=True)
    console.result("a result")
    console.talk("talk")
    console.finish(Answer({"text": "ü\x7f\x1b"}, ["row"], next=["osiris run"]))
    assert console.out.getvalue() == (
        '{"ok": true, "data": {"text": "\\u00fc\\u007f\\u001b"}, "diagnostics": [], "next": ["osiris run"]}\n'
    )
    assert console.err.getvalue() == "talk\n"


@given(st.text())
def test_envelope_is_ascii_and_carries_any_text(text):
    line = envelope(Answer(text))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["data"] == text


def test_explicit_exit_code_counts():
    assert Answer(diagnostics=[diagnostic("PRJ001", start="x")], exit_code=0).code == 0


def test_excerpt_points_to_the_column(tmp_path):
    (tmp_path / "p.yaml").write_text("name: x\nsteps:\n  - ide: a\n")
    item = Diagnostic("OML002", "unknown key 'ide'", Location("p.yaml", 3, 5), "did you mean 'id'?")
    text = ["".join(part for _, part in line) for line in diagnostic_lines([item], tmp_path)]
    assert text == [
        "p.yaml:3:5: OML002 unknown key 'ide'",
        "    3 |   - ide: a",
        "      |     ^",
        "  hint: did you mean 'id'?",
    ]


@pytest.mark.parametrize(
    ("name", "code"),
    [("p.yaml", "CMP006"), ("p.yaml", "OML002"), ("osiris_connections.yaml", "CON008")],
)
def test_excerpt_never_shows_a_secret(tmp_path, name, code):
    (tmp_path / name).write_text("password: hunter2-very-secret\n")
    lines = diagnostic_lines([Diagnostic(code, "wrong", Location(name, 1, 1))], tmp_path)
    assert "hunter2" not in str(lines)


def test_no_excerpt_of_settings_whose_values_may_be_secret_addresses(tmp_path):
    (tmp_path / "osiris.yaml").write_text("notify:\n  webhok: https://hooks.example.com/9f8a7b\n")
    item = diagnostic("PRJ002", at=Location("osiris.yaml", 2, 3), key="notify.webhok")
    assert "9f8a7b" not in str(diagnostic_lines([item], tmp_path))


@pytest.mark.parametrize("key", ["password", "passwrd", "token"])
def test_excerpt_shows_no_secret_inside_a_line(tmp_path, key):
    (tmp_path / "p.yaml").write_text(f'config: {{path: a.csv, {key}: "Tr0ub4dor9x"}}\n', encoding="utf-8")
    item = diagnostic("OML002", at=Location("p.yaml", 1, 24), key=key, where="x")
    assert "Tr0ub4dor9x" not in str(diagnostic_lines([item], tmp_path))


@pytest.mark.parametrize("line", [0, 7])
def test_no_excerpt_for_a_line_that_is_not_there(tmp_path, line):
    (tmp_path / "p.yaml").write_text("name: x\n")
    assert len(diagnostic_lines([Diagnostic("OML002", "wrong", Location("p.yaml", line, 1))], tmp_path)) == 1


def test_many_diagnostics_are_cut_for_people_only():
    many = [diagnostic("PRJ008", problem=f"problem {n}") for n in range(60)]
    console = captured()
    console.finish(Answer(diagnostics=many))
    assert console.err.getvalue().splitlines()[-1] == "… and 10 more (see --json)"
    assert len(json.loads(envelope(Answer(diagnostics=many)))["diagnostics"]) == 60


def test_table_columns_stand_below_each_other_whatever_the_cells_hold():
    lines = table([("a\x1b[2J", 1), ("b", None)], ("name", "rows"))
    assert lines[1:] == ["a\\x1b[2J  1", "b"]


def through_a_terminal(monkeypatch, line, **environment):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        Console(out=stream, err=stream).result(line)
        stream.flush()
        return os.read(leader, 1000)


def test_colour_is_only_for_terminals_that_want_it(monkeypatch):
    line = [("error", "OML\x1b[0m")]
    assert through_a_terminal(monkeypatch, line) == b"\x1b[31;1mOML\\x1b[0m\x1b[0m\r\n"
    assert through_a_terminal(monkeypatch, line, NO_COLOR="1") == b"OML\\x1b[0m\r\n"
    assert through_a_terminal(monkeypatch, line, TERM="dumb") == b"OML\\x1b[0m\r\n"


def test_a_full_device_is_reported():
    with open("/dev/full", "w", encoding="utf-8") as full:
        console = Console(out=full, err=io.StringIO())
        assert console.finish(Answer(text=["row"])) == 2
    assert console.err.getvalue() == f"PRJ006 cannot write standard output: {os.strerror(errno.ENOSPC)}\n"


def test_a_reader_who_left_is_no_mistake():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as broken:
        assert Console(out=broken, err=io.StringIO()).finish(Answer(text=["row"])) == 0


def drawn(rows, header, width):
    """Return the lines of a table on a terminal of `width` columns, without styles."""
    return [
        "".join(text for _, text in each)
        for (line,) in map(parts_of, table(rows, header))
        for each in line.lines(width, "")
    ]


def parts_of(line):
    return [line] if isinstance(line, str) else [text for _, text in line]


def test_a_row_that_is_too_wide_goes_on_in_further_lines():
    rows = [("20261130-122551-609-long-00002", "complete", "output/long.csv", "a title of some words")]
    header = ("session", "status", "target", "title")
    lines = drawn(rows, header, 40)
    assert [line.rstrip() for line in lines] == [
        "session                         status",
        "  target           title",
        "20261130-122551-609-long-00002  complete",
        "  output/long.csv  a title of some words",
    ]
    assert all(len(line) <= 40 for line in lines)
    assert len(drawn(rows, header, 200)) == 2


def test_only_a_cell_wider_than_the_terminal_is_broken_and_between_words():
    lines = drawn([("key", "one two three four five six seven-eight")], ("k", "meaning"), 20)
    assert lines[1:] == ["key", "  one two three four", "  five six", "  seven-eight"]
    assert "averylongword" * 3 in drawn([("averylongword" * 3,)], ("k",), 20)[-1]


@pytest.mark.parametrize(
    ("status", "style"),
    [("complete", "ok"), ("replay complete", "ok"), ("failed", "error"), ("could not start", "error")],
)
def test_a_status_has_a_colour(status, style):
    (_, row) = table([("a", status)], ("step", "status"))
    assert row.cells == [("", "a   "), (style, status.ljust(6))]
    assert str(row) == f"a     {status}"
