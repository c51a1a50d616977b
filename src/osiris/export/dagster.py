"""Assets, a job and a schedule of Dagster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.export.python_text import RUN, literal

if TYPE_CHECKING:
    from osiris.export.exported import Exported

_BODY = '''\
import subprocess

try:
    import dagster as dg
except ImportError as error:
    raise ImportError("this file needs Dagster 1 (it was tested with 1.13.29)") from error

COMMAND = {command}
ON = dg.DefaultScheduleStatus.RUNNING
READS = {{f"read_{{number}}": key for number, key in enumerate({reads})}}
WRITES = {{f"write_{{number}}": key for number, key in enumerate({writes})}}


{run}

@dg.multi_asset(
    name={name!r},
    ins={{name: dg.AssetIn(key=dg.AssetKey(key), dagster_type=dg.Nothing) for name, key in READS.items()}},
    outs={{name: dg.AssetOut(key=dg.AssetKey(key), dagster_type=dg.Nothing) for name, key in WRITES.items()}},
)
def run_pipeline(context: dg.AssetExecutionContext):
    """Run the pipeline; a run that is executed again has the run id of the first one."""
    run_osiris(context.run.root_run_id or context.run.run_id, context.log.info)
    for name in WRITES:
        yield dg.Output(None, name)


job = dg.define_asset_job(
    {job!r}, selection=[run_pipeline], executor_def=dg.in_process_executor, tags={{"dagster/max_retries": "0"}}
)
schedules = {schedules}
defs = dg.Definitions(assets=[run_pipeline], jobs=[job], schedules=schedules)
'''


def dagster(exported: Exported) -> dict[str, str]:
    """Return a file of definitions."""
    due = exported.schedule
    name = exported.name.replace("-", "_")
    when = f"cron_schedule={due.cron!r}, execution_timezone={due.zone!r}" if due else ""
    schedule = f"dg.ScheduleDefinition(job=job, {when}, default_status=ON)" if due else ""
    text = _BODY.format(
        command=literal(exported.words),
        reads=literal([_key(uri) for uri in exported.reads]),
        writes=literal([_key(uri) for uri in exported.writes] or [[exported.name]]),
        run=RUN,
        name=name,
        job=f"run_{name}",
        schedules=f"[{schedule}]",
    )
    about = exported.comments(
        f"Save it as {name}.py, and load it: dagster dev -f {name}.py",
        secrets="They come from the environment of Dagster, or from the .env of the project.",
    )
    return {f"{name}.py": "\n".join([*about, text])}


def _key(uri: str) -> list[str]:
    """Return a URI as the parts of a key."""
    return [part for part in re.split("[:/]+", uri) if part]
