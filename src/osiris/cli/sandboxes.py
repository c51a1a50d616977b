"""`osiris sandboxes`: what runs on E2B is started in, and what is left of it."""

from __future__ import annotations

import click

from osiris import api
from osiris.cli.command import again, answers, console, noun, opened
from osiris.cli.render import Answer, table
from osiris.cli.target import template_settings

_COLUMNS = {
    "SANDBOX": "id",
    "STARTED": "started_at",
    "PROJECT": "folder",
    "SESSION": "session",
    "TEMPLATE": "template",
}

command = noun("sandboxes", "Look at sandboxes of E2B, end them, and build their template.")


@answers("list")
def list_sandboxes() -> Answer:
    """List the sandboxes that runs have made and that live."""
    found = api.list_sandboxes(opened())
    rows = [[item[name] or "-" for name in _COLUMNS.values()] for item in found]
    return Answer({"sandboxes": found}, table(rows, list(_COLUMNS)) if found else ["no sandbox lives"])


@answers("gc", click.option("--dry-run", is_flag=True, help="Only say which."))
def collect(dry_run: bool) -> Answer:
    """End the sandboxes that lost runs of this project left; without help they end by themselves, two minutes later."""
    found = api.end_sandboxes(opened(), dry_run=dry_run)
    text = [f"{len(found)} {'would be' if dry_run else 'were'} ended"]
    return Answer({"ended": found, "dry_run": dry_run}, [*text, *(f"  {number}" for number in found)])


@answers(
    "build",
    click.option("--e2b-cpu", type=click.IntRange(1), metavar="N", help="Processors (run.e2b.cpu)."),
    click.option("--e2b-mem", metavar="SIZE", help="Memory; digits alone are GiB (run.e2b.memory)."),
    click.option("--e2b-template", metavar="NAME", help="Another name than that of this version and its lock."),
)
def build(e2b_cpu: int | None, e2b_mem: str | None, e2b_template: str | None) -> Answer:
    """Build the template in which runs start at once: Python, and the packages of this version's lock."""
    workspace = opened(None, template_settings(e2b_cpu, e2b_mem, e2b_template))
    name = api.build_template(workspace, console().talk)
    next_run = again(["osiris", "run", "FILE", "--e2b"], ("e2b_cpu", "e2b_mem", "e2b_template"))
    return Answer({"template": name}, [f"template {name} is ready"], next=[next_run])


for each in (list_sandboxes, collect, build):
    command.add_command(each)
