"""A response header is taken as a number only if it is one."""

import pytest

from osiris.families.supabase.errors import Answer, retry_after


@pytest.mark.parametrize(
    ("total", "count"), [("7", 7), ("*", None), ("", None), ("²", None), ("1²", None), ("-1", None), ("1.5", None)]
)
def test_the_number_of_all_rows(total, count):
    assert Answer(200, {"content-range": f"0-1/{total}"}, b"[]").count == count


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("²", None), ("soon", None), ("", None)])
def test_the_seconds_that_a_server_asks_to_wait(text, seconds):
    assert retry_after(Answer(503, {"retry-after": text}, b"")) == seconds
