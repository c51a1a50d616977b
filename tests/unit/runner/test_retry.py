import pytest

from osiris.errors import Diagnostic
from osiris.runner.retry import LONGEST_PAUSE, pause_before

AWAY = [Diagnostic("CON003", "away")]
FULL = [Diagnostic("DRV004", "full")]


@pytest.mark.parametrize(
    ("retry", "found", "failures", "pause"),
    [
        (None, AWAY, 1, None),
        ({}, AWAY, 1, 1.0),
        ({}, AWAY, 2, 2.0),
        ({}, AWAY, 3, None),
        ({}, FULL, 1, None),
        ({"max": 0}, AWAY, 1, None),
        ({"max": 5, "backoff": "250ms"}, AWAY, 4, 2.0),
        ({"max": 99, "backoff": "1m"}, AWAY, 90, LONGEST_PAUSE),
        ({"on": ["DRV004"]}, FULL, 1, 1.0),
        ({"on": ["DRV004"]}, AWAY, 1, None),
        ({"on": ["unavailable", "DRV004"]}, [*FULL, *AWAY], 1, 1.0),
    ],
)
def test_when_a_step_is_run_again(retry, found, failures, pause):
    assert pause_before(retry, found, failures) == pause
