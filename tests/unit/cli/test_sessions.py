"""The display of a run: outdated next steps are not shown for one that was continued since."""

import pytest

from osiris.api import Remarks
from osiris.cli.sessions import session_lines
from osiris.errors import diagnostic


def shown(after):
    """Return the display of a lost run that `after` continued."""
    told = {"session": "s-00001", "kind": "run", "status": "lost", "run_key": "s-00001", "pipeline": "p", "steps": {}}
    told |= {"outputs": {}, "diagnostics": [diagnostic("RUN008", session="s-00001").to_json()]}
    lines = session_lines(told, Remarks([], {}, {}, after))
    return "\n".join(line if isinstance(line, str) else "".join(text for _, text in line) for line in lines)


def test_a_lost_run_is_to_be_continued():
    assert "run the same command again; it resumes" in shown(None)
    assert "continued it" not in shown(None)


@pytest.mark.parametrize("status", ["complete", "failed", "running"])
def test_one_that_was_continued_is_not(status):
    text = shown({"session": "s-00002", "status": status})
    assert "the process of run s-00001 no longer exists" in text
    assert "run the same command again" not in text
    assert text.splitlines()[-1] == f"Run s-00002 resumed it and is {status}."
