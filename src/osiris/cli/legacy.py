"""How the earlier implementation spelled things: what works unchanged, what has a new spelling, what is not offered.

Nothing of it is silently ignored: a row that is not `KEPT` is refused, with its new spelling (PRJ007) or with what to
do instead (PRJ010). Commands of this product that this version does not have yet are in the same table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Earlier:
    """One spelling: `new` if it is spelled differently here, `instead` if it is not offered; else it works.

    `unused`: what to do about a variable that means nothing here; it is a warning (PRJ003).
    """

    new: str | None = None
    instead: str | None = None
    unused: str | None = None

    def answer(self, spelling: str) -> Diagnostic | None:
        """Return why this spelling is refused, or a warning that it is not used; None if it works."""
        if self.new is not None:
            return diagnostic("PRJ007", old=spelling, new=self.new)
        if self.instead is not None:
            return diagnostic("PRJ010", what=spelling, instead=self.instead)
        if self.unused:
            return diagnostic("PRJ003", key=spelling, hint=self.unused)
        return None


KEPT = Earlier()


def _kept(spellings: str) -> dict[str, Earlier]:
    return dict.fromkeys(spellings.split(", "), KEPT)


def moved(new: str) -> Earlier:
    """Return the row of something that is spelled differently here."""
    return Earlier(new=new)


def absent(instead: str) -> Earlier:
    """Return the row of something that this version does not offer."""
    return Earlier(instead=instead)


WRITE_OML = absent("write the pipeline as a file in pipelines/ and compile it")
SAY_PROJECT = moved("-C DIR")
NAME_CONNECTIONS = moved("osiris connections doctor @FAMILY.ALIAS")

_WORK = (
    "init, validate, compile, run, components list, components show, components validate, connections list, "
    "connections doctor, logs list, logs show, logs html, logs bundle, logs gc, logs aiop, prompts, chat, mcp, replay, "
    "sandboxes"
)
COMMANDS: dict[str, Earlier] = {
    **_kept(_WORK),
    "components config-example": moved("osiris components show NAME"),
    "components discover": moved("osiris discover @FAMILY.ALIAS"),
    "logs last": moved("osiris logs show last"),
    "logs open": moved("osiris logs html SESSION --open"),
    "logs aiop list": moved("osiris logs aiop --list"),
    "logs aiop show": moved("osiris logs aiop SESSION"),
    "logs aiop export": moved("osiris logs aiop SESSION --output FILE"),
    "logs aiop prune": moved("osiris logs gc"),
    "runs": moved("osiris logs"),
    "runs list": moved("osiris logs list"),
    "oml": moved("osiris validate"),
    "oml validate": moved("osiris validate FILE"),
    "oml schema": moved("osiris schema"),
    "test": WRITE_OML,
    "test validation": WRITE_OML,
    "dump-prompts": moved("osiris prompts dump"),
    "prompts build-context": moved("osiris prompts context"),
    "discovery": moved("osiris discover @FAMILY.ALIAS"),
    "discovery run": moved("osiris discover @FAMILY.ALIAS"),
    "maintenance": moved("osiris logs gc"),
    "maintenance clean": moved("osiris logs gc"),
    "mcp run": moved("osiris mcp"),
    "mcp clients": absent("let the client start 'osiris -C DIR mcp'"),
    "mcp tools": absent("a client of 'osiris mcp' lists them"),
    "mcp connections": moved("osiris connections"),
    "mcp components": moved("osiris components"),
    "mcp discovery": moved("osiris discover @FAMILY.ALIAS --json"),
    "mcp oml": moved("osiris validate"),
    "mcp guide": absent("'osiris mcp' offers the prompt author_pipeline"),
    "mcp memory": absent("write what matters into the pipeline"),
    "mcp usecases": absent("'osiris init' and 'osiris demo' create examples"),
    "mcp aiop": moved("osiris logs aiop --json"),
    "eval": absent("the evaluation is in bench/ of the source: python -m bench.evaluation"),
}
"""By the words after `osiris`."""

_E2B_OPTIONS = (
    "--target, --e2b, --e2b-env, --e2b-env-from, --e2b-pass-env, "
    "--e2b-install-deps, --e2b-timeout, --e2b-cpu, --e2b-mem"
)
_E2B = {
    **_kept(_E2B_OPTIONS),
    "--timeout": moved("--e2b-timeout"),
    "--cpu": moved("--e2b-cpu"),
    "--memory-gb": moved("--e2b-mem"),
}
_ALWAYS_CHECKED = absent("problems are always errors; leave it out")
_FILTER_PAGE = absent("the index page of all runs has a filter; leave it out")
_NOT_A_SESSION = absent("only runs have sessions; leave it out")

OPTIONS: dict[str, dict[str, Earlier]] = {
    "": _kept("--json, --verbose, -v, --version, --help, -h"),
    "init": {
        **_kept("--json"),
        "--git": absent("run 'git init' in the new folder"),
        "--force": absent("remove the old project first, or choose another folder"),
        "--template": absent("leave it out, or run 'osiris demo' for a larger example"),
    },
    "validate": {
        **_kept("--json, --verbose, -v"),
        "--config": moved("-C DIR"),
        "--mode": _ALWAYS_CHECKED,
    },
    "compile": {
        **_kept("--out, --profile, -p, --param, --refresh, --json, --verbose, --help"),
        "--compile": absent("a plan is always compiled again; --check compares it with the one on disk"),
    },
    "run": {
        **_kept("--profile, -p, --param, --last-compile, --verbose, --json, --dry-run"),
        "--out": absent("steps name their targets; artifacts are in logs/SESSION/artifacts/"),
        "--last-compile-in": moved("osiris run DIR/manifest.json"),
        **_E2B,
    },
    "components list": {
        **_kept("--mode, --json"),
        "--runnable": absent("every component of the list can run; leave it out"),
    },
    "components show": _kept("--json"),
    "components validate": {
        **_kept("--json, --verbose"),
        "--level": _ALWAYS_CHECKED,
        "--session-id": _NOT_A_SESSION,
        "--logs-dir": _NOT_A_SESSION,
        "--log-level": moved("--verbose"),
        "--events": _NOT_A_SESSION,
    },
    "connections list": _kept("--json"),
    "connections doctor": {
        **_kept("--json"),
        "--family": NAME_CONNECTIONS,
        "--alias": NAME_CONNECTIONS,
        "--connection-id": NAME_CONNECTIONS,
    },
    "logs list": {
        **_kept("--json, --limit"),
        "--logs-dir": SAY_PROJECT,
        "--no-wrap": absent("lines are never wrapped; leave it out"),
    },
    "logs aiop": {
        **_kept("--last, --format, --output, --policy, --max-core-bytes, --timeline-density, --metrics-topk"),
        **_kept("--schema-mode, --compress"),
        "--session": moved("osiris logs aiop SESSION"),
        "--run": moved("osiris logs aiop SESSION"),
        "--last-run": moved("--last"),
        "--annex-dir": absent("the annex is next to the package, in logs/SESSION/aiop/annex/"),
        "--pipeline": moved("osiris logs aiop --list"),
        "--profile": absent("sessions of all profiles are in logs/; leave it out"),
    },
    "logs show": {
        **_kept("--events, --metrics, --json"),
        "--session": moved("osiris logs show SESSION"),
        "--tail": absent("'osiris logs show SESSION --events' prints all of them"),
        "--logs-dir": SAY_PROJECT,
    },
    "logs bundle": {
        **_kept("-o, --output"),
        "--session": moved("osiris logs bundle SESSION"),
    },
    "logs gc": {
        **_kept("--dry-run"),
        "--days": moved("--older-than 7d"),
        "--max-gb": moved("--max-size 1GB"),
    },
    "chat": {
        **_kept("--provider, -p, --fast, --pro-mode, --json"),
        **dict.fromkeys(("--interactive", "-i"), absent("without a MESSAGE the conversation continues; leave it out")),
        **dict.fromkeys(("--session-id", "-s"), moved("--resume ID")),
        "--skip-clarification": moved("--fast"),
        "--sql": absent("write the query into a step of a pipeline"),
        **dict.fromkeys(("--config-file", "-c"), SAY_PROJECT),
        **dict.fromkeys(
            ("--context-file", "--no-context", "--context-strategy", "--context-components", "--strict-context"),
            absent("models always get the list of components; leave it out"),
        ),
        "--privacy": moved("--samples none"),
    },
    "logs html": {
        **_kept("--open, --sessions"),
        "--out": moved("--output DIR"),
        "--since": _FILTER_PAGE,
        "--label": _FILTER_PAGE,
        "--status": _FILTER_PAGE,
        "--logs-dir": SAY_PROJECT,
    },
    "mcp": {
        "--selftest": absent("a client that connects is the test; leave it out"),
        "--debug": absent("sessions in logs/ record what happened; leave it out"),
    },
}
"""By command, for the commands that still exist; the options of a command that is refused go with it."""

_UNUSED = Earlier(unused="unset it")
_BY_STEP = Earlier(unused="set 'retry' in the config of the step, or 'defaults.retry' in osiris.yaml")
_CHAT = {"MODEL": "OSIRIS_CHAT__MODEL", "MODEL_FALLBACK": "OSIRIS_CHAT__FALLBACK_MODEL"}
_AIOP_KEPT = (
    *("ENABLED", "POLICY", "MAX_CORE_BYTES", "TIMELINE_DENSITY", "METRICS_TOPK", "SCHEMA_MODE", "DELTA", "RUN_CARD"),
    *("ANNEX_ENABLED", "ANNEX_COMPRESS", "INDEX_ENABLED"),
)
_AIOP_UNUSED = (
    *("USE_SESSION_DIR", "OUTPUT_*", "ANNEX_DIR", "PATH_VARS_TS_FORMAT", "INDEX_RUNS_JSONL", "INDEX_BY_PIPELINE_DIR"),
    *("INDEX_LATEST_SYMLINK", "RETENTION_*", "NARRATIVE_*"),
)
_RUN_LIKE = ("validate", "compile", "run")
_PROVIDERS = ("OPENAI", "CLAUDE", "GEMINI")
_IN_SANDBOX = ("E2B_FORCE_SPILL", "E2B_LOG_REDACT", "E2B_DRIVER_VERIFY", "E2B_DOWNLOAD_DATA_ARTIFACTS")

ENVIRONMENT: dict[str, tuple[tuple[str, ...], Earlier]] = {
    "OSIRIS_HOME": ((), KEPT),
    "OSIRIS_PROFILE": ((), KEPT),
    "OSIRIS_PARAM_*": ((), KEPT),
    "OSIRIS_LAST_MANIFEST": (("run",), moved("osiris run MANIFEST")),
    "OSIRIS_LAST_COMPILE_DIR": (("run",), moved("osiris run DIR/manifest.json")),
    "OSIRIS_EXECUTION_TARGET": (("run",), moved("OSIRIS_RUN__TARGET")),
    "OSIRIS_E2B_INSTALL_DEPS": (("run",), moved("OSIRIS_RUN__E2B__INSTALL_DEPS")),
    "OSIRIS_E2B_DRIVER_ALLOWLIST": (("run",), absent("a sandbox loads the components of the plan and no others")),
    "OSIRIS_E2B_DRIVER_DENYLIST": (("run",), absent("a sandbox loads the components of the plan and no others")),
    "OSIRIS_FILESYSTEM_BASE": (_RUN_LIKE, moved("OSIRIS_HOME")),
    "OSIRIS_LOGS_DIR": (_RUN_LIKE, _UNUSED),
    "OSIRIS_LOG_LEVEL": (_RUN_LIKE, _UNUSED),
    "OSIRIS_LOG_EVENTS": (_RUN_LIKE, _UNUSED),
    "OSIRIS_VALIDATION": (_RUN_LIKE, _UNUSED),
    "OSIRIS_PRIVACY": (_RUN_LIKE, _UNUSED),
    "OSIRIS_RUN_ID_FORMAT": (_RUN_LIKE, _UNUSED),
    "OSIRIS_RETENTION_RUN_LOGS_DAYS": (_RUN_LIKE, _UNUSED),
    **dict.fromkeys((f"OSIRIS_AIOP_{name}" for name in _AIOP_KEPT), ((), KEPT)),
    **dict.fromkeys((f"OSIRIS_AIOP_{name}" for name in _AIOP_UNUSED), (_RUN_LIKE, _UNUSED)),
    "OSIRIS_MCP_*": (("mcp", *_RUN_LIKE), _UNUSED),
    **dict.fromkeys((f"{name}_API_KEY" for name in (*_PROVIDERS, "E2B")), ((), KEPT)),
    **{f"{p}_{old}": (("chat",), Earlier(unused=f"set {new}")) for old, new in _CHAT.items() for p in _PROVIDERS},
    **dict.fromkeys(("LLM_TEMPERATURE", "LLM_MAX_TOKENS"), (("chat",), _UNUSED)),
    **dict.fromkeys(_IN_SANDBOX, (("run",), _UNUSED)),
    "E2B_ARTIFACT_MAX_MB": (("run",), Earlier(unused="set OSIRIS_RUN__REMOTE__FETCH_LIMIT")),
    **dict.fromkeys(("RETRY_MAX_ATTEMPTS", "RETRY_BASE_SLEEP"), (("run",), _BY_STEP)),
    "SUPABASE_HTTP_TIMEOUT_S": (("run",), Earlier(unused="set 'read_timeout' of the connection")),
    "OSIRIS_TEST_*": (("run",), absent("it enabled a test path inside drivers: unset it")),
}
"""By variable (`*` ends a prefix): the commands that read it, and its replacement."""


def command_refusal(words: Sequence[str]) -> Diagnostic | None:
    """Return the diagnostic that rejects a command, from the longest matching row of the table."""
    for end in range(len(words), 0, -1):
        spelling = " ".join(words[:end])
        if spelling in COMMANDS:
            return COMMANDS[spelling].answer(f"osiris {spelling}")
    return None


def option_refusal(command: str, option: str) -> Diagnostic | None:
    """Return why an option that `command` does not have is refused; None if it was never one."""
    row = OPTIONS.get(command, {}).get(option)
    return row.answer(option) if row else None


def environment_answers(command: str, read: Callable[[], Mapping[str, str]]) -> list[Diagnostic]:
    """Return the refusals of, and warnings about, the variables that are set and that `command` used to read.

    The environment is read only for such a command.
    """
    rows = [(pattern, row) for pattern, (commands, row) in ENVIRONMENT.items() if command in commands]
    environ = read() if rows else {}
    names = [(name, row) for pattern, row in rows for name in sorted(environ) if _fits(name, pattern)]
    return [item for name, row in names if environ[name] and (item := row.answer(name))]


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or (pattern[-1] == "*" and name.startswith(pattern[:-1]))
