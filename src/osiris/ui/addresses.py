"""The paths of the pages that other pages link to."""

from __future__ import annotations

import os
from urllib.parse import quote, urlencode

RUNS, CATALOGUE, COMPARE, DISCOVER = "/runs", "/catalogue", "/compare", "/discover"
DATASETS = CATALOGUE + "/dataset"


def of_run(session: str) -> str:
    """Return the path of the page of a run."""
    return f"{RUNS}/{quote(session)}"


def of_pipeline(file: str) -> str:
    """Return the path of the page of a pipeline's file, which is relative to the project."""
    return f"/{quote(os.fsencode(file))}"


def of_dataset(label: str, column: str | None = None, **more: object) -> str:
    """Return the path of the page of a dataset, or of one of its columns."""
    return DATASETS + _fields(label=label, column=column, **more)


def of_comparison(old: str, new: str) -> str:
    """Return the path of the page that compares two runs or two plans."""
    return COMPARE + _fields(a=old, b=new)


def of_source(target: str, table: str | None = None, **more: object) -> str:
    """Return the path of the page of a source, or of one of its tables."""
    return DISCOVER + _fields(target=target, table=table, **more)


def _fields(**fields: object) -> str:
    return f"?{urlencode({key: each for key, each in fields.items() if each is not None}, errors='replace')}"
