"""Hold every request of a set as a conversation with a model, run what comes of it, and grade it by its rows:
`.venv/bin/python -m bench.evaluation --provider NAME [--model NAME] [--set DIR] [--case ID]…`.

The default set was written by somebody who had not seen the program. A request ends right, with a question, with a
refusal, in a failure, or wrong; wrong without a question ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.evaluation.cases import HELD_OUT
from bench.evaluation.score import score_set

from osiris.chat.conversation import Options


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.evaluation", description=__doc__)
    parser.add_argument("--set", dest="folder", type=Path, default=HELD_OUT)
    parser.add_argument("--case", dest="only", action="append", default=[])
    parser.add_argument("--provider", required=True)
    parser.add_argument("--model")
    given = parser.parse_args()
    options = Options(provider=given.provider, model=given.model)
    with TemporaryDirectory(prefix="osiris-evaluation-") as scratch:
        score = score_set(given.folder, Path(scratch), options, os.environ, _tell, given.only)
    print(json.dumps(score.to_json(), indent=1, ensure_ascii=False))
    return 1 if score.wrong_without_asking else 0


def _tell(graded) -> None:
    print(f"{graded.verdict:<8} {graded.case.id}  {graded.why}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
