"""Every figure, measured in one run: `make bench`, or `.venv/bin/python -m bench [--runs N] [--data DIR]`.

Prints one line per figure with its bar, and ends with 1 if any bar is missed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Sample, alternate, median_seconds, peak_megabytes, run

BIN = Path(sys.executable).parent
OSIRIS = str(BIN / "osiris")
SMALL_ROWS = 1_500_000

AGGREGATE = """
    SELECT l_returnflag, l_linestatus, sum(l_quantity) AS quantity, sum(l_extendedprice) AS price,
           min(l_shipdate) AS first_shipped, count(*) AS orders
    FROM {source}
    GROUP BY l_returnflag, l_linestatus
    ORDER BY l_returnflag, l_linestatus
"""
DUCKDB_SOURCE = "read_csv('{file}', types={{'l_quantity': 'DECIMAL(15,2)', 'l_extendedprice': 'DECIMAL(15,2)', 'l_discount': 'DECIMAL(15,2)', 'l_tax': 'DECIMAL(15,2)'}})"  # noqa: E501
PIPELINE = """
oml_version: "0.1.0"
name: {name}
steps:
  - id: source
    component: filesystem.csv_extractor
    mode: read
    config: {{path: "{file}"}}
{middle}
  - id: target
    component: filesystem.parquet_writer
    mode: write
    needs: [{needs}]
    config: {{path: "output/{name}.parquet"}}
"""
TRANSFORM = """
  - id: aggregate
    component: duckdb.processor
    mode: transform
    needs: [source]
    config:
      query: |
{query}
"""


@dataclass(frozen=True)
class Figure:
    """One line of the result; `value` must not exceed `bar`."""

    what: str
    value: float
    bar: float
    unit: str
    detail: str = ""

    def __str__(self) -> str:
        verdict = "ok    " if self.value <= self.bar else "MISSED"
        return f"{verdict} {self.what}: {self.value:.3g}{self.unit} (bar {self.bar:g}{self.unit}) {self.detail}"


def generate(data: Path) -> None:
    """Make TPC-H lineitem of scale factor 1 as CSV (6,001,215 rows, 766 MB), and its first 1.5 million rows."""
    whole, small = data / "lineitem.csv", data / "lineitem-small.csv"
    if not whole.exists():
        data.mkdir(parents=True, exist_ok=True)
        command = [BIN / "tpchgen-cli", "csv", "-s", "1", "--tables", "lineitem", "--output-dir", data]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    if not small.exists():
        with small.open("wb") as target:
            subprocess.run(["head", "-n", str(SMALL_ROWS + 1), str(whole)], check=True, stdout=target)


def lay_out(root: Path, data: Path) -> None:
    """Make a project with one pipeline per job and size."""
    subprocess.run([OSIRIS, "init", str(root)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    query = "\n".join("        " + line.strip() for line in AGGREGATE.format(source="input_df").strip().splitlines())
    for size in ("", "-small"):
        name = f"lineitem{size}.csv"
        (root / name).symlink_to(data.resolve() / name)
        jobs = {f"aggregate{size}": TRANSFORM.format(query=query), f"copy{size}": ""}
        for job, middle in jobs.items():
            needs = "aggregate" if middle else "source"
            text = PIPELINE.format(name=job, file=name, middle=middle, needs=needs)
            (root / "pipelines" / f"{job}.yaml").write_text(text, encoding="utf-8")
    (root / "tiny.csv").write_text("id,name\n1,a\n2,b\n3,c\n", encoding="utf-8")
    middle = TRANSFORM.format(query="        SELECT id, upper(name) AS name FROM input_df")
    text = PIPELINE.format(name="tiny", file="tiny.csv", middle=middle, needs="aggregate")
    (root / "pipelines" / "tiny.yaml").write_text(text, encoding="utf-8")


def osiris_run(job: str) -> list[str]:
    """Return the command that compiles and runs one job from its start."""
    return [OSIRIS, "run", f"pipelines/{job}.yaml", "--new-run"]


def duckdb_run(select: str, file: str) -> list[str]:
    """Return the command that does the same in one DuckDB process, which is the reference."""
    source = DUCKDB_SOURCE.format(file=file)
    sql = f"COPY ({select.format(source=source)}) TO 'output/reference.parquet' (FORMAT parquet)"
    program = f'import duckdb; c = duckdb.connect(config={{"threads": 2}}); c.execute("""{sql}""")'
    return [sys.executable, "-c", program]


def best_of_nine(command: list[str], cwd: Path) -> float:
    """Return the best wall seconds of nine runs after one warm-up."""
    run(command, cwd)
    return min(run(command, cwd).seconds for _ in range(9))


def throughput(root: Path, runs: int) -> list[Figure]:
    """Compare both large jobs with one DuckDB process, and state the memory at both sizes."""
    jobs = {"aggregate": (AGGREGATE, 3.5), "copy": ("SELECT * FROM {source}", 2.0)}
    figures = []
    for job, (select, bar) in jobs.items():
        ours, reference = alternate(osiris_run(job), duckdb_run(select, "lineitem.csv"), root, runs)
        small = [run(osiris_run(f"{job}-small"), root) for _ in range(2)]
        figures += [ratio(job, ours, reference, bar), *memory(job, ours, small)]
    return figures


def ratio(job: str, ours: list[Sample], reference: list[Sample], bar: float) -> Figure:
    """Return the ratio of the medians."""
    a, b = median_seconds(ours), median_seconds(reference)
    return Figure(f"{job}, 6.0 M rows, against one DuckDB process", a / b, bar, " x", f"{a:.2f} s / {b:.2f} s")


def memory(job: str, large: list[Sample], small: list[Sample]) -> list[Figure]:
    """Return the peak at 6.0 M rows, and how much of it more rows cost."""
    peak, before = peak_megabytes(large), peak_megabytes(small)
    return [
        Figure(f"{job}, peak memory of host and worker at 6.0 M rows", peak, 400, " MB"),
        Figure(f"{job}, peak memory at 6.0 M rows against 1.5 M rows", peak / before, 1.15, " x", f"{before:.0f} MB"),
    ]


def startup(root: Path) -> list[Figure]:
    """State the start-up of the command, and of a whole small run."""
    figures = [
        Figure(f"osiris {option}, best of nine", best_of_nine([OSIRIS, option], root), 0.15, " s")
        for option in ("--version", "--help")
    ]
    tiny = best_of_nine(osiris_run("tiny"), root)
    return [*figures, Figure("3 rows, 3 steps: compile and run, best of nine", tiny, 0.8, " s")]


def main() -> int:
    """Measure everything, print it, and say whether every bar holds."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (default 5)")
    parser.add_argument("--data", type=Path, default=Path("bench/data"), help="where the generated data is kept")
    options = parser.parse_args()
    generate(options.data)
    root = Path(tempfile.mkdtemp(prefix="osiris-bench-"))
    try:
        lay_out(root, options.data)
        figures = startup(root) + throughput(root, options.runs)
    finally:
        shutil.rmtree(root)
    print(f"repeat with: python -m bench --runs {options.runs}")
    for figure in figures:
        print(figure)
    return int(any(figure.value > figure.bar for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
