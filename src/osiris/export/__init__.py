"""Exports: files with which a scheduler runs a pipeline, one module per format.

An export only reads the project: it runs nothing, resolves no variable and connects to nothing. Every value enters a
file through the format's own serializer, so that it stays text whatever characters it has.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from osiris.export.exported import Exported


class Format(NamedTuple):
    """A format: its function as `module:name`, and its summary."""

    function: str
    summary: str


FORMATS = {
    "airflow": Format("airflow:airflow", "Write a DAG of Airflow 3."),
    "dagster": Format("dagster:dagster", "Write assets, a job and a schedule of Dagster."),
    "prefect": Format("prefect:prefect", "Write a flow of Prefect 3."),
    "cron": Format("crontab:crontab", "Write a line for a crontab."),
    "systemd": Format("systemd:systemd", "Write a service and a timer of systemd."),
    "github": Format("github:github", "Write a workflow of GitHub Actions."),
    "kubernetes": Format("kubernetes:kubernetes", "Write a CronJob of Kubernetes."),
}


def written(exported: Exported) -> dict[str, str]:
    """Return the files of an export by name; fails with the EXP codes of its format."""
    module, _, name = FORMATS[exported.format].function.partition(":")
    files: dict[str, str] = getattr(import_module(f"osiris.export.{module}"), name)(exported)
    return files
