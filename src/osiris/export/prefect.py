"""A flow of Prefect 3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.export.python_text import RUN, literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.export.exported import Exported

_LONGEST = 512
_BODY = '''\
import subprocess

try:
    from prefect import flow
    from prefect.assets import materialize
    from prefect.runtime import flow_run
    from prefect.schedules import Cron
except ImportError as error:
    raise ImportError("this file needs Prefect 3 (it was tested with 3.9.1)") from error

COMMAND = {command}
READS = {reads}
WRITES = {writes}


{run}

@materialize(*WRITES, asset_deps=READS, retries=0, log_prints=True)
def run_pipeline(run_id):
    """Run the pipeline."""
    run_osiris(run_id, print)


@flow(name={name!r}, retries=0)
def pipeline():
    """Run the pipeline; a flow run that is retried has the same run id."""
    run_pipeline(str(flow_run.id))


if __name__ == "__main__":
    pipeline.serve(name={name!r}, limit=1{schedule})
'''


def prefect(exported: Exported) -> dict[str, str]:
    """Return a file with a flow, which serves it when it is run."""
    due = exported.schedule
    text = _BODY.format(
        command=literal(exported.words),
        reads=literal(_keys(exported.reads)),
        writes=literal(_keys(exported.writes) or [f"osiris://{exported.name}"]),
        run=RUN,
        name=exported.name,
        schedule=f", schedule=Cron({due.cron!r}, timezone={due.zone!r})" if due else "",
    )
    about = exported.comments(
        f"Save it as {exported.name}.py, and serve it: python {exported.name}.py",
        secrets="They come from the environment of that process, or from the .env of the project.",
    )
    return {f"{exported.name}.py": "\n".join([*about, text])}


def _keys(uris: Iterable[str]) -> list[str]:
    """Return URIs with the characters that Prefect takes, each once."""
    return list(dict.fromkeys(re.sub(r"[^\w.:/@~-]", "_", uri, flags=re.ASCII)[:_LONGEST] for uri in uris))
