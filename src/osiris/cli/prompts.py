"""`osiris prompts`: what is said to models, and how to say it otherwise."""

from __future__ import annotations

from pathlib import Path

import click

from osiris.cli.command import answers, noun, opened
from osiris.cli.render import Answer
from osiris.registry import load_registry

command = noun("prompts", "Look at what is said to models, and change it.")
DIR = click.option("--dir", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Another folder.")
FORCE = click.option("--force", is_flag=True, help="Write over what is there.")


@answers("dump", DIR, FORCE)
def dump(folder: Path | None, force: bool) -> Answer:
    """Write the prompts to .osiris_prompts/, to be changed; 'osiris chat --pro-mode' uses what is there."""
    from osiris.chat.prompts import FOLDER, dump_prompts

    target = folder or opened().root / FOLDER
    files = dump_prompts(target, force=force)
    text = [f"{len(files)} prompts in {target}", *(f"  {name}" for name in files)]
    return Answer({"dir": str(target), "files": files}, text, next=[] if folder else ["osiris chat --pro-mode"])


@answers("context")
def context() -> Answer:
    """Show what is told of the installed components: a document without secrets, its size and its fingerprint."""
    from osiris.chat.prompts import context_document

    found = context_document(load_registry())
    components = found["document"]["components"]
    size = f"{found['size_bytes']:,} bytes, about {found['token_estimate']:,} tokens (a quarter of the bytes)"
    text = [
        f"{len(components)} components, {size}",
        f"fingerprint {found['fingerprint']}",
        "--json prints the document",
    ]
    return Answer(found, text)


for each in (dump, context):
    command.add_command(each)
