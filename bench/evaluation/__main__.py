"""Carry out requests by somebody who had not seen the program, and grade the results by rows.

`python -m bench.evaluation` carries out the written answers of an ideal model. With `--provider NAME [--model NAME]` a
model answers in conversations. With `--results DIR` existing results are graded: their files and `transcript.jsonl`.
`--guide` gives the guide the written choices of a
person instead, who chooses as little as possible for 40 tasks, and counts them. `--tokens` prints the size of a
synthesis request by data set instead. `--case ID` selects requests, and `--out DIR`
keeps the results. Exits with 1 if a result is wrong.
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
from bench.evaluation.guided import guide
from bench.evaluation.hold import hold
from bench.evaluation.tokens import synthesis_tokens

from osiris.chat.conversation import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.model import JsonValue

    Line = dict[str, JsonValue]

ANSWERS = Path(__file__).parent / "answers.jsonl"
"""The answers of an ideal model to each turn; written before the gold rows were seen."""

CHOICES = Path(__file__).parent / "guide_choices.jsonl"
"""The choices of a person for each task of the guide: no line of flags is among them."""

TRANSCRIPT = "transcript.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.evaluation", description=__doc__)
    parser.add_argument("--provider")
    parser.add_argument("--model")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--guide", action="store_true")
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("--case", dest="only", action="append", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="osiris-evaluation-") as scratch:
        if options.tokens:
            return _print_token_counts(Path(scratch))
        results = options.results or options.out or Path(scratch) / "results"
        if options.results is None:
            results.mkdir(parents=True)
            _carry_out(options, Path(scratch), results)
        transcript = [json.loads(line) for line in (results / TRANSCRIPT).read_text(encoding="utf-8").splitlines()]
        graded = grade(results, transcript, SET / "data")
    present = [each for each in graded if each.verdict != "missing"]
    print("\n".join(table(present if options.only or options.guide else graded)))
    if counts := [line["choices"] for line in transcript if "choices" in line]:
        print(f"choices of a pipeline: {median(counts):g} in the median, {min(counts)} to {max(counts)}")
    problems = {line["id"]: line.get("problem", "") for line in transcript}
    for each in present:
        if each.verdict != "right":
            print(f"{each.verdict:<10}{each.id:<8} {each.why or problems.get(each.id, '')}")
    return 1 if any(each.verdict == "wrong" for each in present) else 0


def _carry_out(options: argparse.Namespace, scratch: Path, results: Path) -> None:
    file = "guide_tasks.jsonl" if options.guide else "requests.jsonl"
    requests = [each for each in load(file) if not options.only or each["id"] in options.only]
    if options.guide:
        lines = _guided(requests, scratch, results)
    elif options.provider is not None:
        lines = _held(requests, scratch, results, options)
    else:
        lines = _answered(requests, scratch, results)
    with (results / TRANSCRIPT).open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(json.dumps(line, ensure_ascii=False), file=sys.stderr)


def _print_token_counts(scratch: Path) -> int:
    answers, sizes = _answers(), defaultdict(list)
    projects = Projects(scratch)
    for request in load("requests.jsonl"):
        answer = answers[request["id"]]
        if answer.get("sources"):
            size = synthesis_tokens(projects[request["data_set"]], request["text"], answer)
            sizes[request["data_set"]].append(size)
    for name, tokens in sizes.items():
        print(f"{name:<10} median {median(tokens):,.0f}, most {max(tokens):,}")
    return 0


class Projects(dict):
    """Projects by data set, each created when it is first requested."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def __missing__(self, name: str) -> Answered:
        """Create the project of a data set."""
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


def _guided(tasks: Sequence[JsonValue], scratch: Path, results: Path) -> Iterator[Line]:
    choices = {each["id"]: each["answers"] for each in map(json.loads, CHOICES.read_text("utf-8").splitlines())}
    projects: dict[str, Path] = {}
    for task in tasks:
        data_set = task["data_set"]
        if data_set not in projects:
            projects[data_set] = project_of(data_set, scratch / data_set)
        yield guide(task, choices[task["id"]], projects[data_set], os.environ, results)


def _held(requests: Sequence[JsonValue], scratch: Path, results: Path, arguments: argparse.Namespace) -> Iterator[Line]:
    options = Options(provider=arguments.provider, model=arguments.model)
    for request in requests:
        project = project_of(request["data_set"], scratch / request["id"])
        yield from hold(request, project, options, os.environ, results)


if __name__ == "__main__":
    sys.exit(main())
