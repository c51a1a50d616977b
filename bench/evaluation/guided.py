"""Written choices of a person who uses the guide, given to it one after the other; counts them."""

from __future__ import annotations

import io
import shutil
import time
from typing import TYPE_CHECKING

from osiris import api
from osiris.chat.conversation import begin_guided
from osiris.chat.environment import Waiting
from osiris.cli.guide import GuideTerminal, Plain
from osiris.cli.render import Console
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.chat.guide.environment import Offered
    from osiris.model import JsonValue

_TICK = 0.1


class _Person(Plain):
    """Gives the written choices; where one is not accepted, the conversation ends."""

    def __init__(self, console: Console, choices: Sequence[str]) -> None:
        super().__init__(console)
        self._left = list(choices)

    def refuse(self, why: str) -> None:
        self.say(why)
        raise Waiting

    def _wait_for_sources(self, options: Offered) -> None:
        while options.waiting():
            time.sleep(_TICK)

    def _line(self) -> str:
        if not self._left:
            raise Waiting
        return self._left.pop(0)


def guide(
    task: JsonValue, choices: Sequence[str], project: Path, environ: Mapping[str, str], results: Path
) -> JsonValue:
    """Return the outcome of a task and the number of its choices, as a line of the transcript; rows go to `results`."""
    line = {"id": task["id"], "wrote": False, "asked": False, "refused": False, "choices": len(choices)}
    shown = io.StringIO()
    console = Console(err=shown)
    workspace = api.open_project(project, environ)
    for path in (project / "output").glob("*"):
        path.unlink()
    try:
        ui = GuideTerminal(console, [], accepts=False, reads=False)
        outcome = begin_guided(workspace, ui, _Person(console, choices), "pipelines")
    except OsirisError as error:
        return {**line, "problem": str(error.diagnostics[0])}
    written = sorted((project / "output").glob("*"))
    if outcome.summary["last_run"] is None or not written:
        return {**line, "problem": "\n".join(shown.getvalue().splitlines()[-30:])}
    shutil.copy(written[0], results / f"{task['id']}{written[0].suffix}")
    (project / str(outcome.summary["file"])).unlink()
    return {**line, "wrote": True}
