"""A host as a separate process: `host.py ROOT PLAN [RUN_ID]` runs a plan and exits as the command would."""

import json
import sys
from pathlib import Path

from osiris.config import load_config
from osiris.errors import OsirisError
from osiris.model import Manifest
from osiris.project import Project
from osiris.runner.host.run import RunOptions, run


def main(root, plan, run_id=None):
    project = Project(Path(root))
    try:
        result = run(
            project,
            Manifest(json.loads(Path(plan).read_bytes())),
            load_config(project, {}),
            RunOptions(run_id=run_id),
            lambda event: print(json.dumps(event), flush=True),
        )
    except OsirisError as error:
        print(json.dumps({"event": "refused", "diagnostics": [d.to_json() for d in error.diagnostics]}))
        return error.exit_code
    print(json.dumps({"event": "result", "status": result.status, "codes": [d.code for d in result.diagnostics]}))
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
