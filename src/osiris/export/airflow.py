"""A DAG of Airflow 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.export.python_text import literal

if TYPE_CHECKING:
    from osiris.export.exported import Exported

_BODY = """\
import shlex

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG, Asset
    from airflow.timetables.trigger import CronTriggerTimetable
except ImportError as error:
    raise ImportError("this file needs Airflow 3 (it was tested with 3.3.2)") from error

COMMAND = {command}
READS = {reads}
WRITES = {writes}

with DAG(
    dag_id={dag_id!r},
    schedule={schedule},
    catchup={catchup},
    max_active_runs=1,
    # Macros are not rendered again, so that the command stays text.
    user_defined_macros={{"command": shlex.join(COMMAND), "quote": shlex.quote}},
):
    BashOperator(
        task_id="run",
        bash_command="exec {{{{ command }}}} {{{{ quote(run_id) }}}}",
        retries=0,
        do_xcom_push=False,
        inlets=[Asset(uri) for uri in READS],
        outlets=[Asset(uri) for uri in WRITES],
    )
"""


def airflow(exported: Exported) -> dict[str, str]:
    """Return a DAG file; a task that is cleared has the run id of the DAG run."""
    due = exported.schedule
    text = _BODY.format(
        command=literal(exported.words),
        reads=literal(exported.reads),
        writes=literal(exported.writes),
        dag_id=exported.name,
        catchup=due is not None and due.catch_up == "all",
        schedule=f"CronTriggerTimetable({due.cron!r}, timezone={due.zone!r})" if due else None,
    )
    about = exported.comments(
        f"Save it as {exported.name}.py in the dags folder of Airflow 3.",
        secrets="They come from the environment of the worker, or from the .env of the project.",
    )
    return {f"{exported.name}.py": "\n".join([*about, text])}
