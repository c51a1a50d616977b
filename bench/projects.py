"""The measured projects: their pipelines, as a user would write them, and their data."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import yaml

BIN = Path(sys.executable).parent
OSIRIS = str(BIN / "osiris")
LINEITEM_ROWS = 6_001_215
SMALL_ROWS = 1_500_000
MODES = {"extractor": "read", "processor": "transform", "writer": "write"}

LINEITEM = {
    **dict.fromkeys(("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber", "l_quantity"), "BIGINT"),
    **dict.fromkeys(("l_extendedprice", "l_discount", "l_tax"), "DECIMAL(15,2)"),
    **dict.fromkeys(("l_returnflag", "l_linestatus"), "VARCHAR"),
    **dict.fromkeys(("l_shipdate", "l_commitdate", "l_receiptdate"), "DATE"),
    **dict.fromkeys(("l_shipinstruct", "l_shipmode", "l_comment"), "VARCHAR"),
}
"""The columns of the file and their types, as written by somebody who knows the data: a quantity is an integer."""

AGGREGATE = """
SELECT l_returnflag, l_linestatus, sum(l_quantity) AS quantity, sum(l_extendedprice) AS price,
       min(l_shipdate) AS first_shipped, count(*) AS orders
FROM {source}
GROUP BY l_returnflag, l_linestatus
ORDER BY l_returnflag, l_linestatus
"""
TRIPLES = "SELECT count(*) AS n FROM {0} AS x, {0} AS y, {0} AS z WHERE x.id * y.id + z.id = 7"


def generate(data: Path) -> None:
    """Create TPC-H lineitem of scale factor 1 as CSV (6,001,215 rows, 766 MB), and its first 1.5 million rows."""
    whole, small = data / "lineitem.csv", data / "lineitem-small.csv"
    if not whole.exists():
        data.mkdir(parents=True, exist_ok=True)
        command = [BIN / "tpchgen-cli", "csv", "-s", "1", "--tables", "lineitem", "--output-dir", data]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    if not small.exists():
        with small.open("wb") as target:
            subprocess.run(["head", "-n", str(SMALL_ROWS + 1), str(whole)], check=True, stdout=target)


def lay_out(root: Path, pipelines: dict[str, list[dict]], files: dict[str, Path | str]) -> None:
    """Create a project with these pipelines and files; a file is given by its text, or by the path of another file."""
    subprocess.run([OSIRIS, "init", str(root)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    outside = {root.resolve().parent, *(each.resolve().parent for each in files.values() if isinstance(each, Path))}
    with (root / "osiris.yaml").open("a", encoding="utf-8") as config:
        config.write(f"\npaths: {{read: {json.dumps(sorted(map(str, outside)))}}}\n")
    for name, steps in pipelines.items():
        save(root, name, steps)
    for name, content in files.items():
        if isinstance(content, Path):
            (root / name).symlink_to(content.resolve())
        else:
            (root / name).write_text(content, encoding="utf-8")


def save(root: Path, name: str, steps: list[dict]) -> None:
    """Write one pipeline into a project."""
    _save(root, {"oml_version": "0.1.0", "name": name, "steps": steps})


def save_entry(root: Path, name: str, entry: dict) -> None:
    """Write a pipeline of one entry of `replicate` into a project."""
    _save(root, {"oml_version": "0.3.0", "name": name, "replicate": [entry]})


def _save(root: Path, pipeline: dict) -> None:
    text = yaml.safe_dump(pipeline, sort_keys=False)
    (root / "pipelines" / f"{pipeline['name']}.yaml").write_text(text, encoding="utf-8")


def osiris_run(job: str, *more: str) -> list[str]:
    """Return the command that compiles a pipeline and starts a new run."""
    return [OSIRIS, "run", f"pipelines/{job}.yaml", "--new-run", *more]


def step(name: str, component: str, *needs: str, **config: object) -> dict:
    """Return a step in its written form."""
    mode = MODES[component.rpartition("_")[2].rpartition(".")[2]]
    return {"id": name, "component": component, "mode": mode, "needs": list(needs), "config": config}


def lineitem(project: Path, data: Path, jobs: dict[str, tuple[str | None, dict[str, str]]]) -> None:
    """Create pipelines from CSV to Parquet for both sizes, `name` and `name-small`.

    A job is its query, if it has one, and the options of its source besides the path.
    """
    sizes = ("", "-small")
    pipelines = {
        f"{name}{size}": to_parquet(f"{name}{size}", f"lineitem{size}.csv", query, **more)
        for name, (query, more) in jobs.items()
        for size in sizes
    }
    lay_out(project, pipelines, {f"lineitem{size}.csv": data / f"lineitem{size}.csv" for size in sizes})


def to_parquet(name: str, file: str, query: str | None, **more: str) -> list[dict]:
    """Return the steps from one CSV file to one Parquet file, through a query if there is one."""
    middle = [step("middle", "duckdb.processor", "source", query=query)] if query else []
    return [
        step("source", "filesystem.csv_extractor", path=file, **more),
        *middle,
        step("target", "filesystem.parquet_writer", "middle" if query else "source", path=f"output/{name}.parquet"),
    ]


def chain(length: int) -> list[dict]:
    """Return a chain of `length` SQL steps from one CSV file to another."""
    names = ["source", *(f"s{number}" for number in range(length))]
    links = [
        step(name, "duckdb.processor", before, query=f"SELECT id + {number} AS id, name FROM {before}")
        for number, (before, name) in enumerate(pairwise(names))
    ]
    ends = [step("source", "filesystem.csv_extractor", path="tiny.csv")]
    return [*ends, *links, step("target", "filesystem.csv_writer", names[-1], path="output/chain.csv")]


def mixed(groups: int) -> list[dict]:
    """Return five steps per group: a CSV file, three SQL steps with a filter, a sum and an order, and a CSV file."""
    return [each for number in range(groups) for each in _group(f"_{number}")]


def _group(end: str) -> list[dict]:
    sums = f"SELECT name, sum(id) AS total, count(*) AS n FROM some{end} GROUP BY name"
    return [
        step(f"read{end}", "filesystem.csv_extractor", path=f"tiny{end}.csv"),
        step(f"some{end}", "duckdb.processor", f"read{end}", query=f"SELECT id, name FROM read{end} WHERE id > 1"),
        step(f"sums{end}", "duckdb.processor", f"some{end}", query=sums),
        step(f"best{end}", "duckdb.processor", f"sums{end}", query=f"SELECT * FROM sums{end} ORDER BY total, name"),
        step(f"save{end}", "filesystem.csv_writer", f"best{end}", path=f"output/best{end}.csv"),
    ]


def independent(count: int) -> list[dict]:
    """Return `count` independent branches, each with one long SQL step over so few rows that one thread runs it."""
    return [each for number in range(count) for each in _branch(number)]


def _branch(number: int) -> list[dict]:
    source, query = f"read{number}", f"triples{number}"
    return [
        step(source, "filesystem.csv_extractor", path="ids.csv"),
        step(query, "duckdb.processor", source, query=TRIPLES.format(source)),
        step(f"save{number}", "filesystem.csv_writer", query, path=f"output/triples{number}.csv"),
    ]
