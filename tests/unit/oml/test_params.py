"""Parameters are declared and typed, and get their value by precedence."""

import datetime as dt

import pytest

from osiris.errors import OsirisError
from osiris.oml.params import resolve_params
from osiris.oml.parse import parse


def resolve(text, given=None, env=None, profile=None):
    return resolve_params(parse(text, "f.yaml"), arguments=given or {}, env=env or {}, profile=profile)


def values(text, **options):
    params, found = resolve(text, **options)
    assert found == []
    return dict(params.values)


def said(text, **options):
    return [(d.code, d.location.line, d.message) for d in resolve(text, **options)[1]]


def test_a_bare_value_declares_its_type():
    text = "params: {s: a, i: 1, n: 1.5, t: true, d: 2024-01-31, c: [1, 2], e: []}"
    assert values(text) == {"s": "a", "i": 1, "n": 1.5, "t": True, "d": "2024-01-31", "c": [1, 2], "e": []}
    assert values(text, given={"i": "7", "c": "3, 4", "t": "false"})["c"] == [3, 4]
    assert [d.code for d in resolve(text, given={"c": "a"})[1]] == ["OML021"]


def test_who_counts():
    text = "params: {limit: 1}\nprofiles:\n  prod: {params: {limit: 2}}\n  dev: {}\n  none:\n    description: x\n"
    env, given = {"OSIRIS_PARAM_LIMIT": "3", "OSIRIS_PARAM_OTHER": "9"}, {"limit": "4"}
    assert values(text) == {"limit": 1}
    assert values(text, profile="dev") == {"limit": 1}
    assert values(text, profile="prod") == {"limit": 2}
    assert values(text, profile="prod", env=env) == {"limit": 3}
    assert values(text, profile="prod", env=env, given=given) == {"limit": 4}
    assert values(text, given={"limit": "5"}, env={"OSIRIS_PARAM_LIMIT": "x"}) == {"limit": 5}


TEXTS = [
    ("string", "5", "5"), ("string", "", ""), ("string", "a b", "a b"), ("integer", "5", 5), ("integer", "-5", -5),
    ("integer", "+5", 5), ("number", "5", 5), ("number", "1.5", 1.5), ("number", "1e3", 1000.0), ("number", ".5", 0.5),
    ("number", "0.1", 0.1), ("number", "+00.1000E0", 0.1), ("number", "1e22", 1e22), ("number", "-0.0", -0.0),
    ("number", "0.30000000000000004", 0.1 + 0.2), ("list", "[0.1, 1e2]", [0.1, 100.0]), ("list", "0.10,2", [0.1, 2]),
    ("boolean", "true", True), ("boolean", "false", False), ("date", "2024-02-29", "2024-02-29"), ("list", "", []),
    ("list", "a,b", ["a", "b"]), ("list", '["a", "b,c"]', ["a", "b,c"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "value"), TEXTS)
def test_text_is_read_in_the_declared_type(kind, text, value):
    items = ", items: number" if "0.1" in text and kind == "list" else ""
    found = values(f"params: {{x: {{type: {kind}{items}}}}}", given={"x": text})["x"]
    assert found == value
    assert type(found) is type(value)


WRONG = [
    ("integer", "x"), ("integer", "1.5"), ("integer", ""), ("integer", "9007199254740992"), ("integer", "9" * 5000),
    ("integer", "1_000"), ("number", "x"), ("number", "nan"), ("number", "1e999"), ("number", "inf"),
    ("boolean", "yes"),
    ("boolean", "1"), ("date", "2024-2-1"), ("date", "2023-02-29"), ("date", "20240131"), ("list", "[1"),
    ("list", "[1]"),
    ("list", "[" * 100_000), ("string", "${run.id}"), ("string", "\udcff"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_text_that_is_no_such_value_is_refused(kind, text):
    declared = f"params:\n  x: {{type: {kind}}}"
    assert [(code, line) for code, line, _ in said(declared, given={"x": text})] == [("OML021", 2)]
    assert [(code, line) for code, line, _ in said(declared, env={"OSIRIS_PARAM_X": text})] == [("OML021", 2)]


INEXACT = (
    *("0.12345678901234567890123", "-9007199254740993.5", "12345678901234567890", "1.00000000000000000001E5"),
    *("1e-400", "0.1000000000000000055511151231257827021181583404541015625"),
)


@pytest.mark.parametrize("text", INEXACT)
def test_a_number_that_would_be_rounded_is_refused_wherever_it_comes_from(text):
    asked = 'params: {x: {type: "number"}}'
    listed = 'params: {x: {type: list, items: "number"}}'
    found = [
        *resolve(asked, given={"x": text})[1],
        *resolve(asked, env={"OSIRIS_PARAM_X": text})[1],
        *resolve(listed, given={"x": f"1,{text}"})[1],
        *resolve(listed, given={"x": f"[1, {text}]"})[1],
        *resolve(f"params: {{x: {{type: number, default: '{text}'}}}}")[1],
        *resolve(f"params: {{x: {{type: number}}}}\nprofiles: {{p: {{params: {{x: '{text}'}}}}}}", {"x": "1"})[1],
    ]
    assert [each.code for each in found] == ["OML021"] * 6
    assert all("a number that a float of 64 bits holds as written" in each.message for each in found)
    long = [each.hint for each in found if text != "1e-400"]
    assert set(long) <= {"to keep more digits, declare it as {type: string} and CAST it in the SQL"}


@pytest.mark.parametrize(
    "text",
    [
        "params: {x: 0.12345678901234567890123}",
        "params: {x: {type: number, default: 0.12345678901234567890123}}",
        "params: {x: {type: number, default: 1.0, max: 1.00000000000000000001}}",
        "params: {x: [1.0, 0.12345678901234567890123]}",
        "params: {x: 1.5}\nprofiles: {p: {params: {x: 0.12345678901234567890123}}}",
    ],
)
def test_a_number_in_the_file_that_would_be_rounded_is_refused(text):
    with pytest.raises(OsirisError) as caught:
        parse(text, "f.yaml")
    assert [each.code for each in caught.value.diagnostics] == ["OML006"]


RULES = {
    "enum": ("{type: string, enum: [a, b]}", "b", "c"),
    "integer enum": ("{type: integer, enum: [1, 2]}", "2", "3"),
    "min": ("{type: integer, min: 3}", "3", "2"),
    "max": ("{type: number, max: 1.5}", "1.5", "1.6"),
    "date min": ("{type: date, min: 2024-01-01}", "2024-01-01", "2023-12-31"),
    "pattern": ('{type: string, pattern: "[a-z]+"}', "abc", "abc1"),
    "items": ("{type: list, items: integer, min: 1}", "1,2", "0,2"),
    "item enum": ("{type: list, enum: [a, b]}", "a,b", "a,c"),
}


@pytest.mark.parametrize("case", RULES)
def test_rules_hold_for_whoever_gives_the_value(case):
    declared, good, bad = RULES[case]
    text = f"params:\n  x: {declared}\n"
    assert "x" in values(text, given={"x": good})
    assert [found[:2] for found in said(text, given={"x": bad})] == [("OML021", 2)]
    quoted = f'"{bad}"' if "string" in declared or "date" in declared else f"[{bad}]" if "," in bad else bad
    assert ("OML021", 4) in [
        f[:2] for f in said(f"{text}profiles:\n  p: {{params: {{x: {quoted}}}}}", given={"x": good})
    ]
    with_default = text.replace("}\n", f", default: {quoted}}}\n")
    assert "OML021" in [found[0] for found in said(with_default, given={"x": good})]


DECLARATIONS = {
    "nothing": ("", "it has no value"),
    "a mapping of nothing": ("{}", "needs a type or a default"),
    "key": ("{typ: integer, default: 1}", "unknown key 'typ'"),
    "type": ("{type: int}", "type must be one of string, integer, number, boolean, date, list"),
    "type of items": ("{type: list, items: list}", "items must be one of string, integer, number, boolean, date"),
    "enum": ("{type: string, enum: a}", "enum must be a list"),
    "enum values": ("{type: integer, enum: [a]}", "enum must be an integer"),
    "min": ("{type: integer, min: a}", "min must be an integer"),
    "min of text": ("{type: string, min: a}", "min needs the type integer, number or date"),
    "max of boolean": ("{type: boolean, max: true}", "max needs the type integer, number or date"),
    "pattern of integer": ("{type: integer, pattern: a}", "pattern needs the type string"),
    "pattern": ('{type: string, pattern: "("}', "pattern is not a regular expression"),
    "pattern type": ("{type: string, pattern: [a]}", "pattern must be text"),
    "sensitive": ('{type: string, sensitive: "yes"}', "sensitive must be true or false"),
    "sensitive default": ("{sensitive: true, default: a}", "a sensitive parameter has no default"),
}


@pytest.mark.parametrize("case", DECLARATIONS)
def test_a_bad_declaration_is_said_once_and_its_name_is_known(case):
    declared, words = DECLARATIONS[case]
    params, found = resolve(
        f"params:\n  x: {declared}\n", given={"x": "1"} if "sensitive: true" not in declared else {}
    )
    assert [(d.code, d.location.line) for d in found] == [("OML020", 2)]
    assert words in found[0].message
    assert params.declared == ("x",)
    assert "x" not in params.values


def test_hints():
    assert resolve("params: {x: {type: str}}", given={"x": "1"})[1][0].hint == "did you mean 'string'?"
    assert resolve("params: {limit: 1}", given={"limt": "1"})[1][0].hint == "did you mean 'limit'?"
    assert resolve("params: {limit: 1}\nprofiles: {prod: {}}", profile="prd")[1][0].hint == "did you mean 'prod'?"
    assert resolve("name: x", given={"limt": "1"})[1][0].hint == "declare it under params"


def test_a_default_of_another_type():
    assert said("params:\n  x: {type: string, default: 5}") == [
        ("OML021", 2, "parameter 'x' must be text, without '${', found 5")
    ]


def test_a_parameter_without_a_value():
    assert said("params:\n  x: {type: integer}") == [("OML022", 2, "parameter 'x' has no value")]


def test_profiles():
    text = "params: {x: 1}\nprofiles:\n  a: {params: {q: 1}}\n  b: {params: {x: w}}\n"
    assert [found[:2] for found in said(text)] == [("OML019", 3), ("OML021", 4)]
    assert [found[:2] for found in said(text, profile="c")] == [("OML019", 3), ("OML021", 4), ("OML023", 2)]
    assert values("params: {x: 1}", profile="of the project") == {"x": 1}


def test_a_sensitive_parameter_comes_from_the_environment_only():
    text = "params: {t: {sensitive: true}}\nprofiles: {p: {params: {t: abc}}}"
    params, found = resolve(text, env={"OSIRIS_PARAM_T": "hunter2"})
    assert found == []
    assert (dict(params.values), params.sensitive, params.declared) == ({}, ("t",), ("t",))
    assert [d.code for d in resolve(text, given={"t": "hunter2"})[1]] == ["OML025"]
    assert "hunter2" not in str(resolve(text, given={"t": "hunter2"})[1])
    assert [d.code for d in resolve(text, profile="p")[1]] == ["OML025"]


def test_two_names_of_one_variable():
    assert [found[:2] for found in said("params:\n  limit: 1\n  Limit: 2\n")] == [("OML020", 3)]


def test_sql_gets_dates():
    text = "params: {d: {type: date, default: 2024-01-31}, l: {type: list, items: date, default: [2024-01-31]}}"
    params, _ = resolve(text)
    assert params.literals == {"d": dt.date(2024, 1, 31), "l": [dt.date(2024, 1, 31)]}
    assert params.values == {"d": "2024-01-31", "l": ["2024-01-31"]}


def test_the_value_of_a_secret_name_is_not_shown():
    (found,) = resolve("params: {api_token: {type: integer}}", given={"api_token": "hunter2"})[1]
    assert "hunter2" not in str(found)
