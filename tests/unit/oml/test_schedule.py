"""The schedule of a file: what it may say, and what is certain to be meant."""

import jsonschema
import pytest

from osiris.errors import InvalidInput
from osiris.oml.editor import editor_schema
from osiris.oml.parse import parse
from osiris.oml.schedule import Schedule, cron_problem, schedule_of, schedule_problems
from osiris.oml.validate import validate
from osiris.registry import load_registry


def read(written, version="0.2.0"):
    return parse(f'oml_version: "{version}"\nname: p\nschedule: {written}\nsteps: []\n', "p.yaml")


def problems(written, version="0.2.0"):
    return [(each.code, each.location.column, each.fix) for each in schedule_problems(read(written, version))]


@pytest.mark.parametrize(
    ("written", "schedule"),
    [
        ('{cron: "0 2 * * *"}', Schedule("0 2 * * *", "UTC", "last")),
        (
            '{cron: " 0  2 * * mon-fri ", zone: Europe/Prague, catch_up: all}',
            Schedule("0 2 * * mon-fri", "Europe/Prague", "all"),
        ),
        ('{cron: "*/15 6-18/2 1,17 JAN 0", catch_up: none}', Schedule("*/15 6-18/2 1,17 JAN 0", "UTC", "none")),
        ('{cron: "0 0 */7 * FRI-7"}', Schedule("0 0 */7 * FRI-7")),
    ],
)
def test_a_schedule_is_a_value(written, schedule):
    document = read(written)
    assert not list(schedule_problems(document))
    assert schedule_of(document.data) == schedule


def test_before_0_2_0_a_schedule_has_no_effect():
    assert [code for code, *_ in problems("daily", "0.1.0")] == ["OML032"]
    assert schedule_of(read('{cron: "0 2 * * *"}', "0.1.0").data) is None


def replaced(pointer, value):
    return ({"op": "replace", "path": pointer, "value": value},)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("daily", [("OML006", 11, ())]),
        ('"0 2 * * *"', [("OML006", 11, replaced("/schedule", {"cron": "0 2 * * *"}))]),
        ('"@daily"', [("OML006", 11, replaced("/schedule", {"cron": "0 0 * * *"}))]),
        ('{cron: "@hourly"}', [("OML028", 18, replaced("/schedule/cron", "0 * * * *"))]),
        ("{}", [("OML003", 11, ())]),
        ("{cron: 7}", [("OML006", 18, ())]),
        ('{cron: "0 2 * *"}', [("OML028", 18, ())]),
        ('{cron: "0 2 * * *", zone: Europe/Pragu}', [("OML028", 37, ())]),
        ('{cron: "0 2 * * *", zone: "../../etc/passwd"}', [("OML028", 37, ())]),
        ('{cron: "0 2 * * *", zone: Europe}', [("OML028", 37, ())]),
        ('{cron: "0 2 * * *", catch_up: newest}', [("OML005", 41, ())]),
        ('{cron: "0 2 * * *", every: day}', [("OML002", 31, ())]),
    ],
)
def test_each_problem_has_its_place_and_a_fix_where_that_is_certain(written, expected):
    assert problems(written) == expected


@pytest.mark.parametrize("key", ["timezone", "tz"])
def test_a_key_of_other_tools_is_renamed(key):
    ((code, _, fix),) = problems(f'{{cron: "0 2 * * *", {key}: UTC}}')
    assert (code, fix) == ("OML002", ({"op": "move", "from": f"/schedule/{key}", "path": "/schedule/zone"},))


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "0 2 * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "0 0 L * *",
        "0 0 * * 1#2",
        "5/15 * * * *",
        "0 0 31 2 *",
        "5-1 * * * *",
        "0 0 * FOO *",
        "0 0 1 MON *",
        "-1 * * * *",
        "* * * * * | sh",
        "0 2 * * *\n* * * * *",
        "a b c d e",
        "\u0660 2 * * *",
    ],
)
def test_only_what_cron_itself_has_is_a_cron_expression(cron):
    assert cron_problem(cron) is not None


def test_editors_know_the_form_of_a_schedule_where_it_has_one():
    schema = editor_schema(load_registry())
    is_valid = jsonschema.Draft202012Validator(schema).is_valid
    steps = [{"id": "a", "component": "duckdb.processor", "mode": "transform", "config": {"query": "SELECT 1 AS n"}}]
    for version, schedule, expected in [
        ("0.1.0", "daily", True),
        ("0.2.0", "daily", False),
        ("0.2.0", {"cron": "0 2 * * *", "zone": "Europe/Prague", "catch_up": "all"}, True),
        ("0.2.0", {"cron": "0 2 * * *", "timezone": "Europe/Prague"}, False),
    ]:
        file = {"oml_version": version, "name": "p", "schedule": schedule, "steps": steps}
        assert is_valid(file) is expected, file


def test_a_file_with_a_schedule_gets_the_version_that_has_schedules():
    text = 'name: p\nschedule: {cron: "0 2 * * *"}\nsteps: []\n'
    with pytest.raises(InvalidInput) as caught:
        validate(parse(text, "p.yaml"), load_registry(), params={}, env={}, profile=None, defaults={})
    (missing,) = (each for each in caught.value.diagnostics if each.code == "OML003")
    assert missing.fix == ({"op": "add", "path": "/oml_version", "value": "0.2.0"},)
