"""The options of `osiris run` that say where, and what they set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.model import JsonValue

_VARIABLES = ("e2b_env", "e2b_env_from", "e2b_pass_env")
"""Options for variables that connections use, wherever a run goes."""

E2B_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--e2b", is_flag=True, help="The same as --target e2b."),
    click.option("--e2b-cpu", type=click.IntRange(1), metavar="N", help="Processors of the template (run.e2b.cpu)."),
    click.option("--e2b-mem", metavar="SIZE", help="Memory of the template; digits alone are GiB (run.e2b.memory)."),
    click.option("--e2b-timeout", metavar="TIME", help="The longest that the sandbox may live (run.e2b.timeout)."),
    click.option("--e2b-template", metavar="NAME", help="Another template than that of this version."),
    click.option("--e2b-install-deps", is_flag=True, help="Install what the template lacks."),
    click.option("--e2b-env", multiple=True, metavar="NAME=VALUE", help="Set a variable that connections use."),
    click.option("--e2b-env-from", type=click.Path(path_type=Path), metavar="FILE", help="Set those of a file."),
    click.option("--e2b-pass-env", multiple=True, metavar="NAME", help="Expect a variable of this shell."),
)


def target_settings(options: dict[str, Any]) -> dict[str, JsonValue]:
    """Return the settings that were typed, by key, and set the variables that were given for connections.

    Variables never become those of a sandbox: what connections make of them goes to the worker with the secrets.
    """
    where = "e2b" if options["e2b"] else options["where"]
    if options["e2b"] and options["where"] not in (None, "e2b"):
        raise click.UsageError(f"--e2b and --target {options['where']} exclude each other")
    os.environ.update(_variables(options))
    found = {
        "run.target": where,
        "run.wait": _seconds(options["wait"]),
        "run.e2b.timeout": _seconds(options["e2b_timeout"]),
        "run.e2b.install_deps": options["e2b_install_deps"] or None,
    }
    template = template_settings(options["e2b_cpu"], options["e2b_mem"], options["e2b_template"])
    return {**template, **{key: value for key, value in found.items() if value is not None}}


def refuse_idle(target: str) -> None:
    """Refuse options of E2B that were typed for a run that does not go there, in which they would do nothing."""
    ctx = click.get_current_context()
    of_e2b = [p for p in ctx.command.params if p.opts[-1].startswith("--e2b-") and p.name not in _VARIABLES]
    typed = [p.opts[-1] for p in of_e2b if ctx.get_parameter_source(str(p.name)) is ParameterSource.COMMANDLINE]
    if typed and target != "e2b":
        raise click.UsageError(f"{', '.join(typed)} does nothing without --e2b: this run is {target}")


def template_settings(cpu: int | None, memory: str | None, name: str | None) -> dict[str, JsonValue]:
    """Return what was typed of a template, by key."""
    given = {"run.e2b.cpu": cpu, "run.e2b.memory": _memory(memory), "run.e2b.template": name}
    return {key: value for key, value in given.items() if value is not None}


def _memory(text: str | None) -> str | None:
    """Return a size; digits alone are GiB, as earlier."""
    return f"{text}GiB" if text and text.isdigit() else text


def _seconds(text: str | None) -> str | None:
    """Return a time; digits alone are seconds, as earlier."""
    return f"{text}s" if text and text.isdigit() else text


def _variables(options: dict[str, Any]) -> dict[str, str]:
    from osiris.cli.command import parameters
    from osiris.connections import load_env

    if absent := [name for name in options["e2b_pass_env"] if name not in os.environ]:
        raise click.BadParameter(f"{', '.join(absent)} is not set", param_hint="'--e2b-pass-env'")
    file = options["e2b_env_from"]
    if file and not file.is_file():
        raise click.BadParameter(f"there is no file {file}", param_hint="'--e2b-env-from'")
    of_file = load_env(file, {}) if file else {}
    try:
        return {**of_file, **parameters(click.get_current_context(), click.Option(["--e2b-env"]), options["e2b_env"])}
    except click.BadParameter as error:
        error.param_hint = "'--e2b-env'"
        raise
