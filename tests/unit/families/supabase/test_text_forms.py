"""Texts in PostgreSQL's default styles, compared with the same in the styles that we set."""

import pytest

from osiris.families.sql.columnar import InvalidCell
from osiris.families.supabase.decode import in_one_form, iso_8601

INTERVAL, INET = 1186, 869
SAME = {
    "00:00:00": "PT0S",
    "1 year 2 mons 3 days 04:05:06.789": "P1Y2M3DT4H5M6.789S",
    "-1 years -2 mons +3 days -04:05:06.7": "P-1Y-2M3DT-4H-5M-6.7S",
    "178000000 years": "P178000000Y",
    "2562047788:00:54.775807": "PT2562047788H54.775807S",
    "1 mon": "P1M",
    "1 day -00:00:00.000001": "P1DT-0.000001S",
    "10:00:00": "PT10H",
}


def test_postgres_has_two_ways_to_say_it(postgres):
    with postgres.connect() as client:
        for text, iso in SAME.items():
            (native,) = client.execute("SELECT %s::interval::text", [text]).fetchone()
            client.execute("SET intervalstyle = 'iso_8601'")
            (told,) = client.execute("SELECT %s::interval::text", [text]).fetchone()
            client.execute("SET intervalstyle = 'postgres'")
            assert (native, told, iso_8601(text), iso_8601(iso)) == (text, iso, iso, iso)


@pytest.mark.parametrize("style", ["sql_standard", "postgres_verbose"])
def test_other_styles_are_refused(postgres, style):
    """They are ambiguous: a sign may apply to what follows it."""
    with postgres.connect() as client:
        client.execute(f"SET intervalstyle = '{style}'")
        for text in ("1 year 2 mons", "-1 days +02:03:04", "1 year 1 day 2 sec", "-3 days"):
            (told,) = client.execute("SELECT %s::interval::text", [text]).fetchone()
            with pytest.raises(InvalidCell, match="style") as caught:
                in_one_form(INTERVAL, [None, told])
            assert caught.value.row == 1


def test_lists_and_null():
    assert in_one_form(INTERVAL, [None, [], ["1 day", None]]) == [None, [], ["P1D", None]]
    assert in_one_form(INET, [["::1", "10.0.0.1", "10.0.0.0/8"]]) == [["::1/128", "10.0.0.1/32", "10.0.0.0/8"]]
    assert in_one_form(25, ["1 day"]) == ["1 day"]
