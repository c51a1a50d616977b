"""How the earlier implementation spelled things: what works unchanged, what has a new spelling, what is not offered.

Nothing of it is silently ignored: a row that is not `KEPT` is refused, with its new spelling (PRJ007) or with what to
do instead (PRJ010). Commands of this product that this version does not have yet are in the same table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import diagnostic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Earlier:
    """One spelling: `new` if it is spelled differently here, `instead` if it is not offered; else it works.

    `unused`: a variable that means nothing here, which is said (PRJ003).
    """

    new: str | None = None
    instead: str | None = None
    unused: bool = False

    def answer(self, spelling: str) -> Diagnostic | None:
        """Return why this spelling is refused, or a warning that it is not used; None if it works."""
        if self.new is not None:
            return diagnostic("PRJ007", old=spelling, new=self.new)
        if self.instead is not None:
            return diagnostic("PRJ010", what=spelling, instead=self.instead)
        if self.unused:
            return diagnostic("PRJ003", key=spelling, hint="unset it")
        return None


KEPT = Earlier()


def moved(new: str) -> Earlier:
    """Return the row of something that is spelled differently here."""
    return Earlier(new=new)


def absent(instead: str) -> Earlier:
    """Return the row of something that this version does not offer."""
    return Earlier(instead=instead)


WRITE_OML = absent("write the pipeline as a file in pipelines/ and compile it")
LOCAL_ONLY = absent("runs are local: leave it out")
READ_SESSION = absent("read the session with 'osiris logs show SESSION' and 'osiris explain SESSION'")
TOOLS_OFFER = absent("use the commands themselves, with --json")
NO_PACKAGE = absent("every run writes run.json, events.jsonl and metrics.jsonl to logs/SESSION/")
SAY_PROJECT = moved("-C DIR")
NAME_CONNECTIONS = moved("osiris connections doctor @FAMILY.ALIAS")

COMMANDS: dict[str, Earlier] = {
    "init": KEPT,
    "validate": KEPT,
    "compile": KEPT,
    "run": KEPT,
    "components list": KEPT,
    "components show": KEPT,
    "components validate": KEPT,
    "components config-example": moved("osiris components show NAME"),
    "components discover": moved("osiris discover @FAMILY.ALIAS"),
    "connections list": KEPT,
    "connections doctor": KEPT,
    "logs list": KEPT,
    "logs show": KEPT,
    "logs last": moved("osiris logs show last"),
    "logs html": READ_SESSION,
    "logs open": READ_SESSION,
    "logs bundle": absent("pack the folder logs/SESSION/"),
    "logs gc": absent("remove folders of logs/ that are no longer needed"),
    "logs aiop": NO_PACKAGE,
    "runs": moved("osiris logs"),
    "runs list": moved("osiris logs list"),
    "oml": moved("osiris validate"),
    "oml validate": moved("osiris validate FILE"),
    "oml schema": moved("osiris schema"),
    "test": WRITE_OML,
    "test validation": WRITE_OML,
    "dump-prompts": WRITE_OML,
    "prompts": WRITE_OML,
    "prompts build-context": WRITE_OML,
    "discovery": moved("osiris discover @FAMILY.ALIAS"),
    "discovery run": moved("osiris discover @FAMILY.ALIAS"),
    "maintenance": absent("remove folders of logs/ that are no longer needed"),
    "maintenance clean": absent("remove folders of logs/ that are no longer needed"),
    "chat": WRITE_OML,
    "mcp": TOOLS_OFFER,
    "mcp run": TOOLS_OFFER,
    "mcp connections": moved("osiris connections"),
    "mcp components": moved("osiris components"),
    "mcp discovery": moved("osiris discover @FAMILY.ALIAS --json"),
    "mcp oml": moved("osiris validate"),
    "mcp guide": TOOLS_OFFER,
    "mcp memory": TOOLS_OFFER,
    "mcp usecases": absent("'osiris init' and 'osiris demo' lay out examples"),
    "mcp aiop": NO_PACKAGE,
    "replay": absent("'osiris run MANIFEST --new-run' runs a plan again"),
    "eval": WRITE_OML,
    "sandboxes": LOCAL_ONLY,
}
"""By the words that were typed after `osiris`."""

_E2B_OPTIONS = (
    *("--target", "--e2b", "--timeout", "--cpu", "--memory-gb", "--e2b-env", "--e2b-env-from", "--e2b-pass-env"),
    *("--e2b-install-deps", "--e2b-timeout", "--e2b-cpu", "--e2b-mem"),
)
_E2B = dict.fromkeys(_E2B_OPTIONS, LOCAL_ONLY)
_ALWAYS_CHECKED = absent("problems are always errors; leave it out")
_NOT_A_SESSION = absent("only runs have sessions; leave it out")

OPTIONS: dict[str, dict[str, Earlier]] = {
    "": {"--json": KEPT, "--verbose": KEPT, "-v": KEPT, "--version": KEPT, "--help": KEPT, "-h": KEPT},
    "init": {
        "--git": absent("run 'git init' in the new folder"),
        "--force": absent("remove the old project first, or choose another folder"),
        "--template": absent("leave it out, or run 'osiris demo' for a larger example"),
        "--json": KEPT,
    },
    "validate": {
        "--config": moved("-C DIR"),
        "--mode": _ALWAYS_CHECKED,
        "--json": KEPT,
        "--verbose": KEPT,
        "-v": KEPT,
    },
    "compile": {
        "--out": KEPT,
        "--profile": KEPT,
        "-p": KEPT,
        "--param": KEPT,
        "--refresh": KEPT,
        "--compile": absent("a plan is always compiled anew; --check compares it with the one on disk"),
        "--json": KEPT,
        "--verbose": KEPT,
        "--help": KEPT,
    },
    "run": {
        "--out": absent("steps name where they write; artifacts lie in logs/SESSION/artifacts/"),
        "--profile": KEPT,
        "-p": KEPT,
        "--param": KEPT,
        "--last-compile": KEPT,
        "--last-compile-in": moved("osiris run DIR/manifest.json"),
        "--verbose": KEPT,
        "--json": KEPT,
        "--dry-run": KEPT,
        **_E2B,
    },
    "components list": {
        "--mode": KEPT,
        "--runnable": absent("every component of the list can run; leave it out"),
        "--json": KEPT,
    },
    "components show": {"--json": KEPT},
    "components validate": {
        "--level": _ALWAYS_CHECKED,
        "--json": KEPT,
        "--verbose": KEPT,
        "--session-id": _NOT_A_SESSION,
        "--logs-dir": _NOT_A_SESSION,
        "--log-level": moved("--verbose"),
        "--events": _NOT_A_SESSION,
    },
    "connections list": {"--json": KEPT},
    "connections doctor": {
        "--json": KEPT,
        "--family": NAME_CONNECTIONS,
        "--alias": NAME_CONNECTIONS,
        "--connection-id": NAME_CONNECTIONS,
    },
    "logs list": {
        "--json": KEPT,
        "--limit": KEPT,
        "--logs-dir": SAY_PROJECT,
        "--no-wrap": absent("lines are never wrapped; leave it out"),
    },
    "logs show": {
        "--session": moved("osiris logs show SESSION"),
        "--events": KEPT,
        "--metrics": KEPT,
        "--tail": absent("'osiris logs show SESSION --events' prints all of them"),
        "--json": KEPT,
        "--logs-dir": SAY_PROJECT,
    },
}
"""By command, for the commands that still exist; the options of a command that is refused go with it."""

_UNUSED = Earlier(unused=True)
_RUN_LIKE = ("validate", "compile", "run")

ENVIRONMENT: dict[str, tuple[tuple[str, ...], Earlier]] = {
    "OSIRIS_HOME": ((), KEPT),
    "OSIRIS_PROFILE": ((), KEPT),
    "OSIRIS_PARAM_*": ((), KEPT),
    "OSIRIS_LAST_MANIFEST": (("run",), moved("osiris run MANIFEST")),
    "OSIRIS_LAST_COMPILE_DIR": (("run",), moved("osiris run DIR/manifest.json")),
    "OSIRIS_EXECUTION_TARGET": (("run",), absent("runs are local: unset it")),
    "OSIRIS_E2B_INSTALL_DEPS": (("run",), absent("runs are local: unset it")),
    "OSIRIS_E2B_DRIVER_ALLOWLIST": (("run",), absent("runs are local: unset it")),
    "OSIRIS_E2B_DRIVER_DENYLIST": (("run",), absent("runs are local: unset it")),
    "OSIRIS_FILESYSTEM_BASE": (_RUN_LIKE, moved("OSIRIS_HOME")),
    "OSIRIS_LOGS_DIR": (_RUN_LIKE, _UNUSED),
    "OSIRIS_LOG_LEVEL": (_RUN_LIKE, _UNUSED),
    "OSIRIS_LOG_EVENTS": (_RUN_LIKE, _UNUSED),
    "OSIRIS_VALIDATION": (_RUN_LIKE, _UNUSED),
    "OSIRIS_PRIVACY": (_RUN_LIKE, _UNUSED),
    "OSIRIS_RUN_ID_FORMAT": (_RUN_LIKE, _UNUSED),
    "OSIRIS_RETENTION_RUN_LOGS_DAYS": (_RUN_LIKE, _UNUSED),
    "OSIRIS_AIOP_*": (_RUN_LIKE, _UNUSED),
    "OSIRIS_MCP_*": (_RUN_LIKE, _UNUSED),
    "OSIRIS_TEST_*": (("run",), absent("it switched a test path inside drivers: unset it")),
}
"""By variable (`*` ends a prefix): the commands that read it, and what became of it."""


def command_refusal(words: Sequence[str]) -> Diagnostic | None:
    """Return why the command of these words is refused: the longest spelling in the table that they begin with."""
    for end in range(len(words), 0, -1):
        spelling = " ".join(words[:end])
        if spelling in COMMANDS:
            return COMMANDS[spelling].answer(f"osiris {spelling}")
    return None


def option_refusal(command: str, option: str) -> Diagnostic | None:
    """Return why an option that `command` does not have is refused; None if it was never one."""
    row = OPTIONS.get(command, {}).get(option)
    return row.answer(option) if row else None


def environment_answers(command: str, environ: Mapping[str, str]) -> list[Diagnostic]:
    """Return the refusals of, and warnings about, the variables that are set and that `command` used to read."""
    found = []
    for pattern, (commands, row) in ENVIRONMENT.items():
        if command in commands:
            found += [row.answer(name) for name in sorted(environ) if _matches(name, pattern) and environ[name]]
    return [item for item in found if item]


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
