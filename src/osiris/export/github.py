"""A workflow of GitHub Actions."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.export.exported import sunday_first
from osiris.export.yaml_text import Text, yaml_text

if TYPE_CHECKING:
    from osiris.export.exported import Exported
    from osiris.model import JsonValue

_CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683"  # v4.2.2
_INSTALL = 'python3 -m venv "$RUNNER_TEMP/osiris"\n"$RUNNER_TEMP/osiris/bin/pip" install {package}\n'
_COMMAND = '"$RUNNER_TEMP/osiris/bin/osiris"'


def github(exported: Exported) -> dict[str, str]:
    """Return a workflow, for `.github/workflows/`; a repeated job has the run id of the first attempt.

    Fails with PRJ008 if it is not said what to install.
    """
    words = _without_expressions(shlex.join(exported.words[1:]))
    command = shlex.quote(exported.command) if exported.command else _COMMAND
    package = "" if exported.command else _without_expressions(shlex.quote(_package(exported)))
    steps: list[JsonValue] = [
        {"uses": _CHECKOUT, "with": {"persist-credentials": False}},
        *([] if exported.command else [{"name": "Install Osiris", "run": Text(_INSTALL.format(package=package))}]),
        {
            "name": "Run the pipeline",
            "run": Text(f'{_without_expressions(command)} {words} "github-$GITHUB_RUN_ID"\n'),
            **(
                {"env": {name: f"${{{{ secrets.{name} }}}}" for name in exported.variables}}
                if exported.variables
                else {}
            ),
        },
    ]
    job: JsonValue = {"runs-on": "ubuntu-latest", "environment": "production", "steps": steps}
    workflow = {
        "name": Text(exported.name),
        "on": {**_due(exported), "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": Text(f"osiris-{exported.name}"), "cancel-in-progress": False},
        "jobs": {"run": job},
    }
    about = exported.comments(
        f"Save it as .github/workflows/{exported.name}.yaml on the default branch.",
        secrets="They are secrets of the environment 'production' of the repository.",
    )
    return {f"{exported.name}.yaml": "\n".join([*about, yaml_text(workflow)])}


def _package(exported: Exported) -> str:
    """Return what pip installs, with the extras that the project needs."""
    if not exported.package:
        hint = "name what pip installs: ./dist/WHEEL of the repository, or NAME==VERSION of your own index"
        fail("PRJ008", problem="--package is missing", hint=f"{hint}; or give --osiris, where it is installed")
    name, mark, version = exported.package.partition("==")
    return f"{name}[{','.join(exported.extras)}]{mark}{version}" if exported.extras else exported.package


def _due(exported: Exported) -> dict[str, JsonValue]:
    if exported.schedule is None:
        return {}
    zone = {} if exported.schedule.zone == "UTC" else {"timezone": Text(exported.schedule.zone)}
    return {"schedule": [{"cron": Text(sunday_first(exported.schedule.cron)), **zone}]}


def _without_expressions(text: str) -> str:
    """Return words of sh without `${{`, which GitHub replaces wherever it stands.

    In a quoted word of sh a `$` stands in single quotes, so they can be closed and opened again.
    """
    return text.replace("${{", "$''{{")
