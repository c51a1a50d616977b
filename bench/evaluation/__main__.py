"""Requests that somebody wrote who had not seen the program, carried out and graded by rows.

`python -m bench.evaluation` carries out the written answers of an ideal model; with `--provider NAME [--model NAME]` a
model answers in conversations; with `--results DIR` what is there is graded: the files of the results, and
`transcript.jsonl`. `--tokens` tells instead how large a synthesis request is, by data set. `--case ID` takes those
requests alone, `--out DIR` keeps the results. Something wrong ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.evaluation.answered import Answered, project_of
from bench.evaluation.grade import SET, grade, load, table
from bench.evaluation.hold import hold
from bench.evaluation.tokens import synthesis_tokens

from osiris.chat.conversation import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.model import JsonValue

    Line = dict[str, JsonValue]

ANSWERS = Path(__file__).parent / "answers.jsonl"
"""What an ideal model answers to each turn; written before the gold was seen."""

TRANSCRIPT = "transcript.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.evaluation", description=__doc__)
    parser.add_argument("--provider")
    parser.add_argument("--model")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("--case", dest="only", action="append", default=[])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="osiris-evaluation-") as scratch:
        if given.tokens:
            return _tell_tokens(Path(scratch))
        results = given.results or given.out or Path(scratch) / "results"
        if given.results is None:
            results.mkdir(parents=True)
            _carry_out(given, Path(scratch), results)
        transcript = [json.loads(line) for line in (results / TRANSCRIPT).read_text(encoding="utf-8").splitlines()]
        graded = grade(results, transcript, SET / "data")
    seen = [each for each in graded if each.verdict != "missing"]
    print("\n".join(table(seen if given.only else graded)))
    problems = {line["id"]: line.get("problem", "") for line in transcript}
    for each in seen:
        if each.verdict != "right":
            print(f"{each.verdict:<10}{each.id:<8} {each.why or problems.get(each.id, '')}")
    return 1 if any(each.verdict == "wrong" for each in seen) else 0


def _carry_out(given: argparse.Namespace, scratch: Path, results: Path) -> None:
    requests = [each for each in load("requests.jsonl") if not given.only or each["id"] in given.only]
    held = given.provider is not None
    lines = _held(requests, scratch, results, given) if held else _answered(requests, scratch, results)
    with (results / TRANSCRIPT).open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(json.dumps(line, ensure_ascii=False), file=sys.stderr)


def _tell_tokens(scratch: Path) -> int:
    answers, sizes = _answers(), defaultdict(list)
    projects = Projects(scratch)
    for request in load("requests.jsonl"):
        answer = answers[request["id"]]
        if answer.get("sources"):
            size = synthesis_tokens(projects[request["data_set"]], request["text"], answer)
            sizes[request["data_set"]].append(size)
    for name, found in sizes.items():
        print(f"{name:<10} median {median(found):,.0f}, most {max(found):,}")
    return 0


class Projects(dict):
    """A project for each data set, made when it is asked for."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def __missing__(self, name: str) -> Answered:
        """Make the project of a data set."""
        self[name] = Answered(project_of(name, self._scratch / name), os.environ)
        return self[name]


def _answers() -> dict[str, JsonValue]:
    return {each["id"]: each["answer"] for each in map(json.loads, ANSWERS.read_text("utf-8").splitlines())}


def _answered(requests: Sequence[JsonValue], scratch: Path, results: Path) -> Iterator[Line]:
    answers, projects = _answers(), Projects(scratch)
    for request in requests:
        for turn in (request["id"], f"{request['id']}-2"):
            if turn in answers:
                yield projects[request["data_set"]].carry_out(turn, answers[turn], results)


def _held(requests: Sequence[JsonValue], scratch: Path, results: Path, given: argparse.Namespace) -> Iterator[Line]:
    options = Options(provider=given.provider, model=given.model)
    for request in requests:
        project = project_of(request["data_set"], scratch / request["id"])
        yield from hold(request, project, options, os.environ, results)


if __name__ == "__main__":
    sys.exit(main())
