"""`osiris`: finds the command, runs it, and turns whatever comes out of it into one answer and one exit code."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

import click

from osiris.cli import legacy
from osiris.cli.command import Done, Group, overview
from osiris.cli.render import Answer, Console
from osiris.errors import OsirisError, diagnostic, fail
from osiris.fault import FAULT, KINDS, arm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("osiris.cli.project:init", "Lay out a new project."),
    "demo": ("osiris.cli.project:demo", "Lay out a project on real data and show what Osiris proves about it."),
    "validate": ("osiris.cli.pipelines:validate", "Check pipelines without reading any source."),
    "fmt": ("osiris.cli.pipelines:fmt", "Bring pipelines into their canonical form."),
    "schema": ("osiris.cli.pipelines:schema", "Print the JSON Schema of pipelines, for editors."),
    "compile": ("osiris.cli.compile:command", "Turn a pipeline into a plan with a fingerprint."),
    "preview": ("osiris.cli.compile:preview", "Show the first rows of a step; nothing is written."),
    "run": ("osiris.cli.run:run", "Run a pipeline or a plan."),
    "diff": ("osiris.cli.diff:command", "Name what differs between two runs, or two plans."),
    "lineage": ("osiris.cli.lineage:lineage", "Show what columns are made of."),
    "impact": ("osiris.cli.lineage:impact", "Show what a column, table or file reaches, in all pipelines."),
    "verify": ("osiris.cli.diff:verify", "Prove that two runs wrote the same data."),
    "replay": ("osiris.cli.diff:replay", "Run again what a session ran, and say whether the same comes out."),
    "explain": ("osiris.cli.sessions:explain", "Explain a code, a plan or a session."),
    "logs": ("osiris.cli.logs:logs", "Look at sessions."),
    "components": ("osiris.cli.components:components", "Look at components, check them, begin a new one."),
    "connections": ("osiris.cli.connections:connections", "Look at the declared connections."),
    "discover": ("osiris.cli.connections:discover", "Show the tables of a connection, or files, and what is in them."),
    "sql": ("osiris.cli.pipelines:sql", "Check SQL as steps do."),
    "new": ("osiris.cli.new:new", "Build a pipeline from choices, without a model."),
    "chat": ("osiris.cli.chat:chat", "Say in words what should go where, and get a pipeline."),
    "prompts": ("osiris.cli.chat:prompts", "Look at what is said to models, and change it."),
    "sandboxes": ("osiris.cli.run:sandboxes", "Look at sandboxes of E2B, end them, build their template."),
    "mcp": ("osiris.cli.mcp:mcp", "Serve agents over the Model Context Protocol."),
    "config": ("osiris.cli.project:config", "Explain configuration."),
    "completion": ("osiris.cli.completion:completion", "Print the completion script of a shell."),
}
"""Each command, where it is, which is imported when it is used, and its line in the overview."""


class Osiris(Group):
    """The root: knows its commands by name, and imports one only to run it."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    """Answer with the version."""
    if value and not ctx.resilient_parsing:
        from osiris.distribution import own_version

        found = own_version()
        raise Done(Answer({"version": found}, [f"osiris {found}"]))


root = Osiris(
    "osiris",
    help="Osiris compiles intent into deterministic, fingerprinted data pipelines that are proved before they run.",
    callback=overview,
    invoke_without_command=True,
    add_help_option=False,
    params=[
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show it."
        )
    ],
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code and never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # memory has secrets
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    console = Console(wants_json="--json" in options)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, _terminate)
    code = _finished(_answer(arguments, console), console)
    if console.at_end:
        console.at_end()
        if argv is None:
            os._exit(code)  # a kill between that and the end of the process would be one of a run that was told
    return code


def _finished(answer: Answer, console: Console) -> int:
    """Print an answer, and return the exit code; a signal ends the printing, and changes nothing of what is done."""
    try:
        return console.finish(answer)
    except Terminated as ended:
        return console.end_code if console.at_end else 128 + ended.number
    except KeyboardInterrupt:
        return console.end_code if console.at_end else 130


def _open_streams() -> None:
    """Give a process that was started without standard streams some that lead nowhere: no file takes their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, so that it ends a command as tidily as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()


def _terminate(number: int, _frame: object) -> None:
    raise Terminated(number)


def _answer(arguments: list[str], console: Console) -> Answer:
    try:
        _take_faults()
        found = root.main(arguments, prog_name="osiris", standalone_mode=False, obj=console)
    except Done as done:
        return done.answer
    except OsirisError as error:
        return Answer(diagnostics=error.diagnostics)
    except click.Abort as abort:
        cause = abort.__cause__
        number = cause.number if isinstance(cause, Terminated) else signal.SIGINT
        found = diagnostic("PRJ012", signal=signal.Signals(number).name)
        return Answer(diagnostics=[found], exit_code=128 + number)
    except click.ClickException as error:
        return _usage(error)
    except Exception as error:  # noqa: BLE001  the last resort of the whole program
        return _internal(error)
    return found if isinstance(found, Answer) else Answer(exit_code=int(found or 0))


def _take_faults() -> None:
    try:
        arm(os.environ, "host")
    except ValueError:
        fail("PRJ008", problem=f"{FAULT} must be NAME:N:KIND", hint=f"kinds: {', '.join(KINDS)}")


def _usage(error: click.ClickException) -> Answer:
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path.partition(" ")[2] if ctx else ""
    if isinstance(error, click.NoSuchOption):
        refusal = legacy.option_refusal(command, error.option_name)
        if refusal:
            return Answer(diagnostics=[refusal])
    message = " ".join(error.format_message().split())
    problem = message[:1].lower() + message[1:].rstrip(".")
    hint = f"see 'osiris {command} --help'" if command else "see 'osiris --help'"
    return Answer(diagnostics=[diagnostic("PRJ008", problem=problem, hint=hint)])


def _internal(error: BaseException) -> Answer:
    """Keep the traceback in a file and name it: a terminal is no place for one."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    reason = str(error) or "no message"
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="osiris-error-", suffix=".txt", dir=_state_folder(), delete=False
        ) as file:
            file.write(text)
        hint = f"this is a bug in Osiris; please report it with {file.name}"
    except OSError:
        hint = "this is a bug in Osiris; please report it with what --verbose says"
    return Answer(diagnostics=[diagnostic("INT000", kind=type(error).__name__, reason=reason, hint=hint)])


def _state_folder() -> Path | None:
    """Return the state folder of the project around us; None (the temporary folder) if there is none."""
    from osiris.project import find_project

    try:
        state = find_project(None, os.environ).state
    except OsirisError:
        return None
    return state if os.access(state, os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
