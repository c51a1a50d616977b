"""What all commands share: common options, help as an answer, and hints for misspelled commands."""

from __future__ import annotations

import inspect
import os
import shlex
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from osiris.cli import legacy
from osiris.cli.render import Answer, Console
from osiris.errors import OsirisError, certain, did_you_mean, fail, has_errors, raise_all
from osiris.files import file_state
from osiris.project import find_project
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from osiris.api import Workspace
    from osiris.errors import Diagnostic
    from osiris.files import FileState
    from osiris.model import JsonValue


PROJECT = "osiris.project"
LOST = "osiris.lost"
"""The key of the context's `meta` for warnings about lost runs that were reported."""
CONNECTS_TO_NOTHING = frozenset(("validate", "fmt", "export", "connections list"))
"""Commands that connect to nothing and ask no secret store; they leave lost runs to the next other command."""
PATH = click.Path(path_type=Path)
NO_BREAK = "\N{NON-BREAKING HYPHEN}"
SHOW_HELP = "Show this message and exit."


class Done(Exception):
    """Ends the command line at once with an answer (help, version)."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__()


def shared_options() -> list[click.Parameter]:
    """Return the options that every command and group takes, before or after the command's name."""
    silent: dict[str, Any] = {"expose_value": False}
    return [
        click.Option(
            ["-C", "--project"],
            **silent,
            metavar="DIR",
            callback=_go_to_project,
            type=PATH,
            help="Use the project in DIR.",
        ),
        click.Option(["--json"], **silent, is_flag=True, help="Output JSON."),
        click.Option(
            ["-v", "--verbose"], **silent, is_flag=True, callback=_keep_verbose, help="Enable verbose output."
        ),
        click.Option(["-h", "--help"], **silent, is_flag=True, is_eager=True, callback=_show_help, help=SHOW_HELP),
    ]


def _go_to_project(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    """Make DIR the working directory, as `make -C` does: paths on the command line are relative to it."""
    if value is None:
        return
    try:
        os.chdir(value)
    except OSError as error:
        fail("PRJ008", problem=f"-C {value}: {error.strerror}", hint="give the path of a folder")
    ctx.meta[PROJECT] = ctx.meta.get(PROJECT, Path()) / value


def _keep_verbose(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    console = ctx.find_object(Console)
    if value and console:
        console.verbose = True


def _show_help(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        raise Done(Answer(describe(ctx), ctx.get_help().splitlines()))


def describe(ctx: click.Context) -> dict[str, JsonValue]:
    """Return the help of a command as data."""
    command = ctx.command
    options = [
        {"names": [*p.opts, *p.secondary_opts], "required": p.required, "help": getattr(p, "help", None) or ""}
        for p in command.get_params(ctx)
    ]
    return {
        "command": ctx.command_path,
        "description": inspect.cleandoc(command.help or ""),
        "usage": " ".join(command.collect_usage_pieces(ctx)),
        "options": options,
        "commands": command.list_commands(ctx) if isinstance(command, click.Group) else [],
    }


class _Formatter(click.HelpFormatter):
    """Wraps help without breaking an option at its hyphens."""

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        super().write_text(text.replace("-", NO_BREAK))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a table of options or commands."""
        super().write_dl([(name, text.replace("-", NO_BREAK)) for name, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        """Return the whole help."""
        return super().getvalue().replace(NO_BREAK, "-")


class _Context(click.Context):
    formatter_class = _Formatter


class Command(click.Command):
    """A command that returns an `Answer`."""

    context_class = _Context

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002 - click cuts at it
        """Return the first sentence of the help, uncut."""
        return inspect.cleandoc(self.help or "").partition("\n")[0]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters and the shared ones."""
        return [*super().get_params(ctx), *shared_options()]

    def invoke(self, ctx: click.Context) -> Answer:
        """Run the command; variables that it used to read are rejected or reported first."""
        from osiris.secret_stores import asking

        asking.command = ctx.command_path.partition(" ")[2]
        warnings = legacy.environment_answers(ctx.command_path.split()[1], lambda: _environment(ctx))
        if has_errors(warnings):
            raise_all(warnings)
        try:
            answer: Answer = super().invoke(ctx)
        except OsirisError as error:
            lost = ctx.meta.get(LOST, ())
            if not (warnings or lost):
                raise
            raise_all([*warnings, *error.diagnostics, *lost])
        follow_up = _from_outside(answer.next, ctx.meta.get(PROJECT))
        return replace(answer, diagnostics=[*warnings, *answer.diagnostics, *ctx.meta.get(LOST, ())], next=follow_up)


def _environment(ctx: click.Context) -> Mapping[str, str]:
    """Return the environment including the project's `.env`, if there is a project."""
    from osiris.connections import load_env

    with suppress(OsirisError):
        return load_env(find_project(Path() if ctx.meta.get(PROJECT) else None, os.environ).env_file, os.environ)
    return os.environ


def _from_outside(commands: Sequence[str], folder: Path | None) -> Sequence[str]:
    """Return commands as they must be typed outside the project, with -C."""
    if folder is None or not commands:
        return commands
    quoted = shlex.quote(str(folder))
    if all(command.startswith("osiris ") for command in commands):
        return [command.replace("osiris", f"osiris -C {quoted}", 1) for command in commands]
    return [f"cd {quoted}", *commands]


class Group(click.Group):
    """A group of commands; an unknown command fails with the nearest name, or with its new spelling.

    `form` is what follows the group's name, if it is the same for all commands.
    """

    context_class = _Context
    form: str | None = None

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters and the shared ones."""
        return [*super().get_params(ctx), *shared_options()]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with; fails with PRJ007, PRJ010 or PRJ008."""
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            self._refuse(ctx, args)
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: click.Context, args: list[str]) -> NoReturn:
        above = ctx.command_path.split()[1:]
        words = [*above, args[0], *(word for word in args[1:2] if not word.startswith("-"))]
        refusal = legacy.command_refusal(words)
        if refusal:
            raise_all([refusal])
        shown = " ".join([*above, args[0]])
        hint = self._suggestion(args[0], above, self.list_commands(ctx))
        fail("PRJ008", problem=f"unknown command 'osiris {shown}'", hint=self.with_form(above, hint))

    @staticmethod
    def _suggestion(word: str, above: Sequence[str], names: Sequence[str]) -> str:
        """Return what to write instead of an unknown command.

        A noun has few commands, and some cannot be undone: one is suggested for a slip only, not for 'set' 'reset'.
        """
        if not above:
            return did_you_mean(word, names) or "see 'osiris --help'"
        meant = certain(word, names)
        return f"did you mean '{meant}'?" if meant else f"one of: {', '.join(names)}"

    def with_form(self, above: Sequence[str], hint: str) -> str:
        """Return a hint with the form of the commands of this group, whose own words are `above`, if it has one."""
        return f"write 'osiris {' '.join(above)} {self.form}'; {hint}" if self.form else hint


def noun(name: str, text: str, *commands: click.Command, form: str | None = None) -> Group:
    """Return the group of a noun; its help lists the commands in the given order. `form` as in `Group`."""
    own: dict[str, Any] = {"subcommand_metavar": form, "add_help_option": False}
    group = Group(name, help=text, callback=overview, invoke_without_command=True, **own)
    group.form = form
    for command in commands:
        group.add_command(command)
    return group


@click.pass_context
def overview(ctx: click.Context) -> Answer | None:
    """Answer a group without a command: the root shows its help, others fail with the list of commands."""
    if ctx.invoked_subcommand is not None:
        return None
    if ctx.parent is not None and isinstance(ctx.command, Group):
        names = ", ".join(describe(ctx)["commands"])
        hint = ctx.command.with_form(ctx.command_path.split()[1:], f"one of: {names}")
        fail("PRJ008", problem=f"'{ctx.command_path}' needs a command", hint=hint)
    return Answer(describe(ctx), ctx.get_help().splitlines())


def answers(name: str, *options: Callable[[Any], Any]) -> Callable[[Callable[..., Answer]], click.Command]:
    """Decorate a function that returns an `Answer`; its docstring is the help."""

    def decorate(function: Callable[..., Answer]) -> click.Command:
        decorated: Any = function
        for option in reversed(options):
            decorated = option(decorated)
        return click.command(name, cls=Command, add_help_option=False)(decorated)

    return decorate


def console() -> Console:
    """Return the console of this command line."""
    current: Console = click.get_current_context().obj
    return current


def start_folder() -> Path | None:
    """Return where the project is looked for: the folder of -C, None for OSIRIS_HOME or the working directory."""
    return Path() if click.get_current_context().meta.get(PROJECT) else None


def opened(profile: str | None = None, settings: Mapping[str, JsonValue] | None = None) -> Workspace:
    """Open the project of -C, OSIRIS_HOME or the working directory; `settings` come from the command line.

    Lost runs are reported, except by commands that connect to nothing; warnings are shown with the answer.
    """
    from osiris.api import open_project, project_scrubber, report_lost

    ctx = click.get_current_context()
    workspace = open_project(start_folder(), os.environ, profile, settings)
    console().root = workspace.project.root
    console().scrubber = lambda: project_scrubber(workspace)
    _, first, *more = ctx.command_path.split()
    if not CONNECTS_TO_NOTHING & {first, " ".join((first, *more))}:
        ctx.meta[LOST] = [*ctx.meta.get(LOST, ()), *report_lost(workspace)]
    return workspace


def take_warnings() -> list[Diagnostic]:
    """Return the warnings about lost runs so far, which are then no longer shown with the answer."""
    warnings: list[Diagnostic] = click.get_current_context().meta.pop(LOST, [])
    return warnings


def parameters(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Turn `--param name=value` options into a mapping; the last value of a name wins."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise click.BadParameter(f"'{name}' is not NAME=VALUE", param_hint="'--param'")
    return {name: value for name, _, value in pairs}


def again(words: Sequence[str], keep: Container[str]) -> str:
    """Return a command line: `words`, followed by the given parameters of this command that are in `keep`."""
    ctx = click.get_current_context()
    typed = [
        word
        for param in ctx.command.params
        if param.name in keep and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        for word in _spelled(param, ctx.params[param.name])
    ]
    return shlex.join([*words, *typed])


def _spelled(param: click.Parameter, value: Any) -> list[str]:  # noqa: ANN401 - whatever the parameter's type gives
    if isinstance(param, click.Argument):
        return [str(value)]
    option = param.opts[-1]
    if isinstance(value, dict):
        return [word for name, text in value.items() for word in (option, f"{name}={text}")]
    return [option] if value is True else [option, str(value)]


ALWAYS_SHOWN = ("CMP048", "STA054")
"""Notes shown without --verbose: the plan of an abbreviated fingerprint, and updates that may be lost unseen."""


def brief(diagnostics: Sequence[Diagnostic]) -> tuple[list[Diagnostic], list[str]]:
    """Return the diagnostics to show, and a line that counts the notes left out unless --verbose or --json is given."""
    shown = [item for item in diagnostics if item.severity != "note" or item.code in ALWAYS_SHOWN]
    if console().verbose or console().wants_json or len(shown) == len(diagnostics):
        return list(diagnostics), []
    notes = count(len(diagnostics) - len(shown), "note")
    return shown, [f"  {notes} (--verbose shows {'it' if len(diagnostics) - len(shown) == 1 else 'them'})"]


def flag(names: str, text: str) -> Callable[[Any], Any]:
    """Return an option without a value; the last of `names` may be the parameter's name."""
    return click.option(*names.split(), is_flag=True, help=text)


def valued(names: str, metavar: str, text: str, **more: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - those of click
    """Return an option with a value, shown as `metavar` in the help; `names` as in `flag`."""
    return click.option(*names.split(), metavar=metavar, help=text, **more)


def choice(names: str, values: str, text: str, **more: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - those of click
    """Return an option with a choice of `values`; `names` as in `flag`."""
    return click.option(*names.split(), type=click.Choice(values.split()), help=text, **more)


SET_PARAM = "Set a parameter; repeatable, the last value wins."
PARAM = valued("--param params", "NAME=VALUE", SET_PARAM, multiple=True, callback=parameters)
PROFILE = valued("-p --profile", "NAME", "Use this profile.")
STRICT = flag("--strict", "Treat warnings as errors.")
ROWS = flag("--rows", "Print the first rows that failed a check.")
FILE = click.argument("file", metavar="FILE")
SET_SELECT = "Select steps: STEP+ includes all steps downstream, +STEP all upstream; comma-separated."
SELECT = valued("--select", "STEP+", SET_SELECT)


EVERY = 0.3
"""Seconds between two checks of the files; polling works on every file system without a library."""

WATCH = flag("--watch", "Repeat whenever FILE is saved, until Ctrl-C.")


def keep_showing(file: str, make: Callable[[], Answer]) -> Answer:
    """Show an answer now and after each change of the pipeline's files, until Ctrl-C.

    Problems are shown too and do not end it. Fails with PRJ001 outside a project.
    """
    root = find_project(start_folder(), os.environ).root
    own = ("osiris.yaml", "osiris_connections.yaml", ".env")
    watched = [Path(file).absolute(), root / file, *(root / name for name in own)]
    try:
        while True:
            before = [*map(file_state, watched)]
            console().finish(_answer(make))
            _await_change(watched, before)
            console().result([("dim", f"── {time.strftime('%H:%M:%S')} {'─' * 40}")])
    except KeyboardInterrupt as stop:
        if type(stop) is not KeyboardInterrupt:  # SIGTERM, which ends a command with another code
            raise
        return Answer(exit_code=0)


def _await_change(watched: list[Path], before: list[FileState]) -> None:
    """Return once a file has changed and no longer changes: a file being written is incomplete."""
    while [*map(file_state, watched)] == before:
        time.sleep(EVERY)
    now: list[FileState] | None = None
    while now != (now := [*map(file_state, watched)]):
        time.sleep(EVERY / 3)


def _answer(make: Callable[[], Answer]) -> Answer:
    try:
        return make()
    except OsirisError as error:
        return Answer(diagnostics=error.diagnostics)
