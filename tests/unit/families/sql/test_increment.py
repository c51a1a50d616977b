"""Limits of what a run of a pair can recognize."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.sql.increment import expect_few
from osiris.families.sql.key_compare import Comparison
from osiris.replication import MOST_REPEATED, Cursor, Increment, Moment, Pair

CTX = StepContext("orders", Path(), Path(), Path())


def code_of(action):
    with pytest.raises(OsirisError) as caught:
        action()
    (problem,) = caught.value.diagnostics
    return problem.code, problem.message


def test_too_many_rows_to_recognize_name_what_holds_the_mark_back():
    holder = Moment(datetime(2026, 1, 1, tzinfo=UTC), holder="the transaction of process 7 of 'app'")
    expect_few(MOST_REPEATED, holder, CTX)
    code, message = code_of(lambda: expect_few(MOST_REPEATED + 1, holder, CTX))
    assert code == "STA005"
    assert message.endswith("held back by the transaction of process 7 of 'app'")


def test_keys_are_compared_only_with_rows_of_the_same_snapshot(tmp_path):
    target = SimpleNamespace(schema=())
    increment = Increment(Pair("@postgres.shop orders", {}), Cursor("id", "none"), target=target)
    ctx = StepContext("orders", tmp_path, tmp_path, tmp_path, increment=increment)
    session = SimpleNamespace(one_state=False)
    comparison = Comparison(None, session, None, None, ctx)
    assert code_of(lambda: list(comparison.finish(datetime.now(UTC))))[0] == "STA015"
