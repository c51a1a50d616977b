"""Assets, a job and a schedule of Dagster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.export.exported import digest
from osiris.export.python_text import RUN, literal

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    name={job!r},
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
    """Return a file of definitions. A dataset that is read and written is only an output: no asset may need itself."""
    due, name = exported.schedule, definition_name(exported.name)
    writes = _keys(exported.writes) or [[exported.name]]
    when = f"cron_schedule={due.cron!r}, execution_timezone={due.zone!r}" if due else ""
    schedule = f"dg.ScheduleDefinition(job=job, {when}, default_status=ON)" if due else ""
    text = _BODY.format(
        command=literal(exported.words),
        reads=literal([key for key in _keys(exported.reads) if key not in writes]),
        writes=literal(writes),
        run=RUN,
        job=f"run_{name}",
        schedules=f"[{schedule}]",
    )
    about = exported.comments(
        f"Save it as {name}.py, and load it: dagster dev -f {name}.py",
        secrets="They come from the environment of Dagster, or from the .env of the project.",
    )
    return {f"{name}.py": "\n".join([*about, text])}


def definition_name(name: str) -> str:
    """Return a pipeline's name without hyphens, with a digest where another pipeline could have the same."""
    return f"{name.replace('-', '_')}_{digest(name)}" if "-" in name else name


def _keys(uris: Iterable[str]) -> list[list[str]]:
    """Return URIs as the parts of keys, each once."""
    keys = (tuple(part for part in re.split("[:/]+", uri) if part) for uri in uris)
    return [list(key) for key in dict.fromkeys(keys)]
