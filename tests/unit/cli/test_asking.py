"""Accepted input: values that can be compared with a column of that type, and nothing else."""

import pytest

from osiris.chat.guide.draft import Ask
from osiris.cli.typed_answers import problem_of


@pytest.mark.parametrize(
    ("typed", "good", "bad"),
    [
        ("whole number", ["5", "-3"], ["1_000", "1e3", "1.5", "five"]),
        ("number", ["5", "1.25", "-0.5"], ["1_000", "1e3", "nan", "inf", "1,5"]),
        ("date", ["2025-01-31"], ["20250131", "2025-02-30", "2025-W05-1", "31.1.2025"]),
        ("timestamp", ["2025-01-31", "2025-01-31 09:30:00"], ["2025-01-31 09:30:00+02:00", "soon"]),
        ("timestamp with zone", ["2025-01-31", "2025-01-31 09:30:00+02:00"], ["soon"]),
        ("time", ["09:30:00"], ["2025-01-31", "noon"]),
        ("truth", ["true", "False"], ["yes", "1"]),
        ("uuid", ["7b0e0f3a-8f5d-4f0c-9f3b-0a1b2c3d4e5f"], ["7b0e"]),
        ("text", ["1_000", "nan"], [""]),
    ],
)
def test_typed_values_are_those_that_a_column_can_be_compared_with(typed, good, bad):
    ask = Ask("value", "Which?", typed=typed)
    assert [text for text in good if problem_of(ask, text)] == []
    assert [text for text in bad if not problem_of(ask, text)] == []
