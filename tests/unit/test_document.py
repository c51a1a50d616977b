import os
import tracemalloc

import pytest

from osiris.document import load_text, read_document
from osiris.document.reader import NotANumber, TwoWays, resolve_plain
from osiris.errors import InvalidInput, Location


def problems(text, **options):
    with pytest.raises(InvalidInput) as caught:
        read_document(text, "f.yaml", **options)
    return [(d.code, d.location.line, d.location.column) for d in caught.value.diagnostics]


def messages(text, **options):
    with pytest.raises(InvalidInput) as caught:
        read_document(text, "f.yaml", **options)
    return "\n".join(f"{d} {d.hint}" for d in caught.value.diagnostics)


def test_data_and_the_place_of_everything():
    document = read_document("a: 1\nb:\n  - x\n  - {c/d: 'e f'}\n", "f.yaml")
    assert document.data == {"a": 1, "b": ["x", {"c/d": "e f"}]}
    assert document.positions["/b/1/c~1d"] == Location("f.yaml", 4, 11, "/b/1/c~1d")
    assert document.keys["/b/1/c~1d"] == Location("f.yaml", 4, 6, "/b/1/c~1d")
    assert document.where("/b/1/nothing/here") == Location("f.yaml", 4, 5, "/b/1/nothing/here")
    assert document.where_key("/b") == Location("f.yaml", 2, 1, "/b")
    assert set(document.positions) == {"", "/a", "/b", "/b/0", "/b/1", "/b/1/c~1d"}
    assert len(document.keys) == 3


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_document_is_nothing(text):
    assert read_document(text, "f.yaml").data is None


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert read_document("\ufeffa: 1", "f.yaml").data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("Null", None), ("NULL", None), ("", None), ("true", True), ("False", False), ("TRUE", True),
        ("0", 0), ("-0", 0), ("12", 12), ("+12", 12), ("-7", -7), ("0x1F", 31), ("9007199254740993", 9007199254740993),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-1.5e+3", -1500.0), ("1.0E-3", 0.001), ("01.5", 1.5),
        ("0.1", 0.1), ("0.10", 0.1), ("0.30000000000000004", 0.30000000000000004), ("1.0e+22", 1e22),
        ("5.0e-324", 5e-324),
        ("00.1000e+0", 0.1), ("0.0e-9", 0.0), ("-0.0", -0.0), ("179769313486231570000.0e+288", 1.7976931348623157e308),
        ("2024-01-31", "2024-01-31"), ("1.2.3", "1.2.3"), ("1.2.3.4", "1.2.3.4"), ("5m", "5m"), ("2GB", "2GB"),
        ("nothing", "nothing"), ("yesterday", "yesterday"), ("-", "-"), ("+", "+"), (".", "."), ("a_1", "a_1"),
        ("_1", "_1"), ("1,000", "1,000"), ("123e", "123e"), ("1-2", "1-2"), ("nan", "nan"), ("inf", "inf"),
        ("0.1.0", "0.1.0"), ("2024-01", "2024-01"), ("select 1", "select 1"), ("${params.x}", "${params.x}"),
        (";", ";"), ("|", "|"), ("12:ab", "12:ab"),
    ],
)  # fmt: skip
def test_plain_scalars_that_everybody_reads_alike(text, value):
    found = resolve_plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "Yes", "YES", "no", "No", "NO", "on", "On", "off", "OFF", "y", "Y", "n", "N", "~", "=", "<<"),
        *("010", "0777", "08", "00", "-010", "0o17", "0b101", "-0x1F", "1_000", "1_000.5", "0x_F", "0_1"),
        *("12:30", "12:30:45", "190:20:30", "20:30.15", "09:30", "1e5", "1.5e5", "1E5", "1e+5", "+.5", "-.5"),
        *("2024-01-31 10:00:00", "2024-01-31T10:00:00Z", "2001-12-14t21:59:43.10-05:00", "2024-1-5 1:00:00"),
    ],
)
def test_plain_scalars_that_are_read_two_ways_have_no_value(text):
    with pytest.raises(TwoWays):
        resolve_plain(text)
    assert problems(f"a: {text}\n")[0][0] in ("OML010", "OML008")
    assert read_document(f"a: '{text}'\nb: \"{text}\"\n", "f").data == {"a": text, "b": text}


INEXACT = ("0.12345678901234567890123", "0.1000000000000000055511151231257827", "-9007199254740993.0", "1.0e-400")


@pytest.mark.parametrize(
    "text", [".inf", "-.inf", ".nan", "1.0e+999", "9" * 400, *INEXACT, f"1.0e+{'9' * 30}", f"1.0e-{'9' * 30}"]
)
def test_numbers_that_json_cannot_carry_have_no_value(text):
    with pytest.raises(NotANumber):
        resolve_plain(text)
    assert problems(f"a: {text}\n") == [("OML006", 1, 4)]


def test_the_quoted_form_is_offered():
    assert 'write true, or "yes" for the text' in messages("a: yes")
    assert "write null, or" in messages("a: ~")
    assert 'write "@mysql.main"' in messages("a: @mysql.main")


def test_all_problems_in_one_pass():
    text = """\
a: &x 1
b: *x
c: !!str 5
d:
  <<: {e: 1}
a: 2
f: yes
g: @mysql.main
h: {i: @mysql.main, 1: x, null: x}
---
j: 1
"""
    assert problems(text) == [
        ("OML008", 1, 4),
        ("OML008", 2, 4),
        ("OML008", 3, 4),
        ("OML008", 5, 3),
        ("OML007", 6, 1),
        ("OML010", 7, 4),
        ("OML011", 8, 4),
        ("OML011", 9, 8),
        ("OML006", 9, 21),
        ("OML006", 9, 27),
        ("OML008", 10, 1),
    ]


def test_an_at_sign_elsewhere_is_text():
    text = "a: 'x@y'\nb: x@y\nc: |\n  @home\n# @comment\nd: \"\ue000@\"\n"
    assert read_document(text, "f").data == {"a": "x@y", "b": "x@y", "c": "@home\n", "d": "\ue000@"}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: b: c", "OML001", 1),
        ("a:\n\t- b", "OML001", 2),
        ("a: [1, 2", "OML001", 1),
        ("a: \x07", "OML001", 1),
        ("a: `b`", "OML001", 1),
        ("a: {{ name }}", "OML006", 1),
        ("? [a]\n: b", "OML006", 1),
        ("%TAG ! tag:x,2000:\n---\na: 1", "OML008", 1),
        ("%YAML 1.1\n---\na: 1", "OML008", 1),
        ("a: !x y", "OML008", 1),
        ("a: &b\n*b : c", "OML008", 1),
        ("a: x\u2028y", "OML008", 1),
        ("a: 1\nb: x\x85", "OML008", 2),
        ("on: 1", "OML010", 1),
    ],
)
def test_what_is_refused(text, code, line):
    assert problems(text)[0][:2] == (code, line)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[" * 20_000, 1),
        ("[\n" * 20_000, 33),
        ("- " * 20_000, 1),
        ("{a: " * 20_000, 1),
        ("\n".join("  " * level + "a:" for level in range(2_000)), 33),
        ("a: " + "x" * (1 << 20) + "y", 1),
        ("a: |\n" + "  é\n" * (1 << 19), 1),
        ("[" + "1," * 1_000_001 + "]", 1),
        ("#" * (17 << 20), None),
    ],
    ids=range(9),
)
def test_what_is_too_large_is_refused(text, where):
    assert problems(text)[0][:2] == ("OML009", where)


def test_what_is_large_is_read():
    depth = 31
    assert read_document("[" * depth + "]" * depth, "f").data
    assert len(read_document("a: " + "x" * (1 << 20), "f").data["a"]) == 1 << 20


def test_an_alias_bomb_stays_small():
    levels = "\n".join(f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(9))}]" for n in range(1, 12))
    tracemalloc.start()
    found = problems(f"a0: &a0 [x, x, x]\n{levels}\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 100
    assert {code for code, _, _ in found} == {"OML008"}
    assert peak < 5_000_000


def test_what_may_be_a_secret_is_not_shown():
    text = "password: 0123456\nother: 0123456\ndeep: {password: [@s3cret.x, {a: 1_000}]}\n"
    shown = messages(text, conceal=lambda key: key == "password")
    assert shown.count("0123456") == 2
    assert "s3cret" not in shown
    assert "1_000" not in shown
    assert "***" in shown


def test_half_a_surrogate_is_no_text():
    assert problems("a: \ud800") == [("OML026", None, None)]


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    (tmp_path / "huge.yaml").write_bytes(b"#" * ((16 << 20) + 1))
    (tmp_path / "good.yaml").write_bytes("ž: 1".encode())
    os.mkfifo(tmp_path / "fifo.yaml")

    def code(name):
        with pytest.raises(InvalidInput) as caught:
            load_text(tmp_path / name, name)
        return caught.value.diagnostics[0]

    assert code("nothing.yaml").code == "PRJ009"
    assert code("fifo.yaml").code == "OML026"
    assert code("").code == "OML026"
    assert code("huge.yaml").code == "OML009"
    assert (code("latin.yaml").code, code("latin.yaml").location.line, code("latin.yaml").location.column) == (
        "OML026",
        2,
        7,
    )
    assert load_text(tmp_path / "good.yaml", "good.yaml") == "ž: 1"
