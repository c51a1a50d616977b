"""The class and subject of a failure, by its code and message."""

import re
from pathlib import Path
from string import Formatter

import pytest

from osiris.codes import CODES
from osiris.errors import Diagnostic, diagnostic
from osiris.history.failures import class_of, kind_of, may_pass, step_of, subject_of
from osiris.secret.redact_diagnostic import match_message

PAGE = Path(__file__).parents[3] / "docs" / "decisions" / "0011-packages.md"
CODE = re.compile(r"[A-Z]{3}\d{3}")


def rows():
    """Yield class and codes of each row of the table on the page."""
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index("| class | codes |") :].split("\n\n")[0].splitlines()[2:]
    for row in table:
        name, cell = (part.strip() for part in row.strip("|").split("|"))
        yield name, cell.partition(";")[0]


@pytest.mark.parametrize(("name", "cell"), list(rows()))
def test_the_page_says_which_code_is_of_which_class(name, cell):
    codes = set(CODE.findall(cell))
    for first, last in re.findall("([A-Z]{3}\\d{3})\N{EN DASH}([A-Z]{3}\\d{3})", cell):
        codes |= {f"{first[:3]}{number:03}" for number in range(int(first[3:]), int(last[3:]))}
    mine = {code for code in CODES if class_of(code) == name}
    assert codes <= mine
    if name not in ("data", "config"):
        assert {code for code in mine if code in CODES} == codes


def test_a_retry_is_useful_after_the_codes_whose_hint_is_to_retry():
    hinted = {code for code, row in CODES.items() if (row.hint or "").startswith("run the same command again")}
    assert {code for code in hinted if not may_pass(code)} == {"PRJ020", "SBX013"}  # not of a step
    assert not any(map(may_pass, ("STA002", "STA003", "STA004", "STA006", "STA010", "STA016", "DAT011", "CON012")))


@pytest.mark.parametrize(("code", "template"), [(code, each) for code, row in CODES.items() for each in row.former])
def test_messages_of_earlier_records_are_read(code, template):
    params = {name: f"{name} of then" for _, name, _, _ in Formatter().parse(template) if name}
    assert match_message(code, template.format(**params))[1].groupdict() == params
    assert diagnostic(code, **params).message != template.format(**params)


def test_what_is_more_exact_than_a_class():
    kinds = {code: kind_of(code) for code in CODES if kind_of(code) != class_of(code)}
    disk = dict.fromkeys(("RUN018", "DRV004", "DRV022", "PRJ006"), "disk_full")
    assert kinds == {**dict.fromkeys(("RUN013", "RUN045"), "out_of_memory"), **disk}


def told(code, **params):
    return subject_of(diagnostic(code, **params))


def test_parameters_are_names():
    found = told("DAT014", step="s", column="n", type="int8", reason="300")
    assert found == {"column": "n", "type": "int8"}
    assert step_of(diagnostic("DAT014", step="s", column="n", type="int8", reason="300")) == "s"
    assert told("DRV012", table="t", path="data/a.db") == {"table": "t", "path": "data/a.db"}


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ('null value in column "x" of relation "t" violates a constraint', {"column": "x", "table": "t"}),
        ("Duplicate entry '1' for key 'PRIMARY'", {"name": "1", "key": "PRIMARY"}),
        ("data/a.csv has no column 'n'", {"column": "n"}),
        ("planned n int64; found m utf8", {"column": "n", "instead": "m"}),
        ("the plan has 'n' int64 where the source has 'm' utf8", {"column": "n", "instead": "m", "name": "n"}),
        (
            "Type INT64 with value 128 can't be cast to the destination type INT8 when casting from source column n",
            {"column": "n", "value": "128", "type": "INT8"},
        ),
        ("nothing is named", {}),
    ],
)
def test_names_are_found_in_free_text(problem, expected):
    assert told("DAT011", step="s", problem=problem) == expected


def test_a_message_that_is_not_of_its_code_is_free_text():
    item = Diagnostic("DAT014", "another text about column 'c'")
    assert subject_of(item) == {"column": "c"}
    assert step_of(item) is None
    assert subject_of(Diagnostic("XYZ999", "a code of a later version")) == {}
