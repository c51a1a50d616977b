"""A model that may not see rows gets diagnostics without any value of them."""

import pytest

from osiris.chat.environment import without_values
from osiris.errors import diagnostic

SECRET = "O'Secret-Smith: is not int64"


@pytest.mark.parametrize(
    ("code", "given", "told"),
    [
        ("DAT001", {"column": "age", "value": SECRET, "type": "int64"}, "column 'age': … is not int64"),
        (
            "DAT015",
            {"step": "out", "column": "name", "value": f"'{SECRET}'", "reason": SECRET},
            "step 'out', column 'name': … cannot be written: …",
        ),
        ("DAT028", {"step": "out", "key": SECRET, "problem": SECRET}, "step 'out': the key … …"),
        (
            "DAT032",
            {"step": "out", "table": "t", "problem": SECRET},
            "step 'out': table 't' rejected a row, so nothing was written: …",
        ),
        ("SQL011", {"problem": f'Could not convert string "{SECRET}" to INT32'}, "…"),
        ("DRV000", {"component": "x.y", "reason": SECRET, "step": "a"}, "component 'x.y' failed unexpectedly: …"),
    ],
)
def test_values_are_left_out_and_names_stay(code, given, told):
    problem = diagnostic(code, **given).to_json()
    assert "Secret" in problem["message"]
    shown = without_values({**problem, "hint": problem["hint"] if code == "DAT001" else SECRET})
    assert shown["message"].partition(": ")[2] == told
    assert shown["hint"] == (problem["hint"] if code == "DAT001" else None)
    assert "Secret" not in str(shown)
    assert {key: value for key, value in shown.items() if key not in ("message", "hint")} == {
        key: value for key, value in problem.items() if key not in ("message", "hint")
    }


def test_a_message_that_is_worded_otherwise_is_left_out_whole():
    shown = without_values({"code": "DAT001", "message": SECRET, "hint": None})
    assert shown["message"] == "Value does not fit its column: …"
    assert without_values({"code": "ZZZ999", "message": SECRET, "hint": SECRET}) == {
        "code": "ZZZ999",
        "message": "ZZZ999",
        "hint": None,
    }


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("SQL009", {"problem": 'column "totel" is not there'}),
        ("DAT005", {"column": "totel", "where": "step 'orders'"}),
        ("DRV012", {"table": "x", "path": "shop.sqlite"}),
    ],
)
def test_names_of_what_is_written_stay(code, given):
    problem = diagnostic(code, hint="did you mean 'total'?", **given).to_json()
    assert without_values(problem) == problem
