"""`osiris completion`: print a shell completion script."""

from __future__ import annotations

import click

from osiris.cli.command import answers
from osiris.cli.render import Answer

SHELLS = click.Choice(["bash", "zsh", "fish"])
VARIABLE = "_OSIRIS_COMPLETE"


@answers("completion", click.argument("shell", type=SHELLS))
def completion(shell: str) -> Answer:
    """Print a shell completion script.

    Load it with 'source <(osiris completion bash)'.
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(root, {}, "osiris", VARIABLE).source_template % kind(root, {}, "osiris", VARIABLE).source_vars()
    return Answer({"shell": shell, "script": script}, script.splitlines())
