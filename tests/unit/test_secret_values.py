"""Messages for agents: kind and length instead of each value of data; names and counts unchanged."""

import pytest

from osiris.codes import CODES
from osiris.secret.redact_diagnostic import QUOTING, masked_message, masked_problems

MESSAGES = """
DAT028 step 'w': the key email='j@x.com', id=3 appears in 2 rows
    -> step 'w': the key email=<text of 7 characters>, id=<number> appears in 2 rows
DAT028 step 'w': the key day=datetime.date(2020, 1, 2) has NULL in it
    -> step 'w': the key day=<value of 25 characters> has NULL in it
DAT001 column 'n': 'a is not int64' is not int64
    -> column 'n': <text of 14 characters> is not int64
DAT014 step 'c', column 'n': not exact as decimal(3, 1): row 1,200: 12345678 would change
    -> step 'c', column 'n': not exact as decimal(3, 1): row 1,200: <number> would change
DAT015 step 'w', column 'c': 'it\\'s me' in row 3 cannot be written: a spreadsheet would take it for a formula
    -> step 'w', column 'c': <text of 8 characters> in row 3 cannot be written: a spreadsheet would take \
it for a formula
DAT015 step 'w', column 'c': 300 in row 3 cannot be written: the column is tinyint, and has -128 to 127
    -> step 'w', column 'c': <number> in row 3 cannot be written: the column is tinyint, and has -128 to 127
DAT015 step 'w', column 'c': '1.005', of which it would make '1.01', in row 3 cannot be written: the column is money
    -> step 'w', column 'c': <value of 39 characters> in row 3 cannot be written: the column is money
DAT031 column 'c', row 3: 25:00:00; only times of a day, 00:00:00 to 23:59:59.999999, can be carried
    -> column 'c', row 3: <number>; only times of a day, 00:00:00 to 23:59:59.999999, can be carried
DAT031 column 'c', row 3: '0000-00-00'; it is no date
    -> column 'c', row 3: <text of 10 characters>; it is no date
DAT032 step 'w': table 'p' rejected a row, so nothing was written: duplicate key \
value violates unique constraint "p_pkey" (Key \
(email, x)=(john, 1) already exists.)
    -> step 'w': table 'p' rejected a row, so nothing was written: duplicate key \
value violates unique constraint "p_pkey" (Key \
(email, x)=(<value>) already exists.)
DAT032 step 'w': table 'p' rejected a row, so nothing was written: Duplicate entry 'john' for key 'p.email' (error 1062)
    -> step 'w': table 'p' rejected a row, so nothing was written: Duplicate entry \
<text of 4 characters> for key 'p.email' \
(error 1062)
DAT032 step 'w': table 'p' rejected a row: Duplicate entry 'john' for key 'p.email' (error 1062)
    -> step 'w': table 'p' rejected a row: Duplicate entry <text of 4 characters> for key 'p.email' (error 1062)
DAT033 s changed values: Truncated incorrect INTEGER value: 'john' (warning 1292)
    -> s changed values: Truncated incorrect INTEGER value: <text of 4 characters> (warning 1292)
DAT035 step 'w': table 't' rejects rows: value "john" is out of range for type integer; 4 rows before \
them were written
    -> step 'w': table 't' rejects rows: value <text of 4 characters> is out of range for type integer; \
4 rows before them were written
SQL011 Could not convert string 'O'Brien' to INT32 when casting from source column email
    -> Could not convert string <text of 7 characters> to INT32 when casting from source column …
SQL011 Type VARCHAR with value john smith can't be cast to the destination type INT32
    -> Type VARCHAR with value <value> can't be cast to the destination type INT32
SQL011 Xiuying Wu
    -> … …
SQL011 missing ): (Xiuying
    -> missing ): (…
SQL011 Could not convert string 'cut off
    -> Could not convert string <text of 7 characters>
"""


def pairs():
    lines = MESSAGES.strip().splitlines()
    for said, told in zip(lines[::2], lines[1::2], strict=True):
        code, _, message = said.partition(" ")
        yield code, message, told.strip().removeprefix("-> ")


@pytest.mark.parametrize(("code", "message", "told"), list(pairs()))
def test_values_are_replaced_by_kind_and_length(code, message, told):
    assert masked_message(code, message) == told
    assert masked_message(code, told) == told


def test_what_quotes_no_data_stays():
    assert masked_message("DAT005", "column 'a' does not exist in 'b'") == "column 'a' does not exist in 'b'"


def test_all_codes_that_quote_values_are_there_with_their_parameters():
    for code, names in QUOTING.items():
        assert all(f"{{{name}}}" in CODES[code].message for name in names), code


def test_diagnostics_are_found_wherever_they_stand():
    item = {"code": "SQL011", "message": "not a number: 'john'", "hint": None}
    told = {**item, "message": "not a number: <text of 4 characters>"}
    assert masked_problems({"steps": [{"error": item}, 5], "rows": "john"}) == {
        "steps": [{"error": told}, 5],
        "rows": "john",
    }
