"""`osiris schema`: what editors need to complete and check pipelines as they are written."""

from __future__ import annotations

from pathlib import Path

import click

from osiris import api
from osiris.cli.command import answers
from osiris.cli.render import Answer

OUT = click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write it to FILE.")


@answers("schema", OUT)
def command(out: Path | None) -> Answer:
    """Print the JSON Schema of pipelines, with the options of each installed component, for editors."""
    if out is not None:
        api.save_pipeline_schema(out)
        return Answer({"file": str(out)}, [f"schema in {out}"])
    schema = api.pipeline_schema()
    return Answer(schema, api.schema_text(schema).splitlines())
