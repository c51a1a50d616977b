"""`osiris lsp`: help in editors."""

from __future__ import annotations

from importlib.util import find_spec

import click

from osiris.cli.command import answers, console
from osiris.cli.render import Answer
from osiris.distribution import install_command
from osiris.errors import fail


@answers("lsp")
def lsp() -> Answer:
    """Serve an editor over the Language Server Protocol (LSP).

    The server uses standard input and output; an editor starts it. It shows what 'osiris validate' reports while you
    type, types of columns from osiris.lock and the last plan, goes to the declaration of a step or a connection,
    completes names of the project, and offers fixes. It never connects to anything.

    """
    if console().wants_json:
        raise click.UsageError("--json is not available: standard output carries the protocol")
    if find_spec("pygls") is None:
        fail("LSP001", command=install_command("lsp"))
    from osiris.lsp.server import serve

    serve()
    return Answer()
