"""Memory stays flat: five times the rows do not need more."""

import subprocess
import sys
import textwrap

import pytest

COPY = """
    import re, sys
    from importlib import import_module
    from pathlib import Path
    from osiris.driver import StepContext

    root = Path.cwd()
    context = StepContext("step", root, root, root)
    source, target = (import_module(f"osiris.components.filesystem_{name}.driver") for name in sys.argv[1:3])
    config = source.Config(sys.argv[3])
    schema = source.Driver().describe(config, context).schema
    rows = source.Driver().read(config, schema, context)
    print(target.Driver().write(target.Config(sys.argv[4]), rows, context).rows)
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024)
"""


def copy(folder, source, target, path, out):
    """Copy a file in a separate process; returns rows and peak memory in MB."""
    command = [sys.executable, "-c", textwrap.dedent(COPY), source, target, path, out]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows, memory = map(int, done.stdout.split())
    return rows, memory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    row = '{},{}.25,2024-01-{:02},"some text, quoted {}"\n'
    block = "".join(row.format(n, n * 7, n % 28 + 1, n * n) for n in range(100_000))
    for name, times in (("small", 5), ("large", 25)):
        (folder / f"{name}.csv").write_text("id,amount,day,note\n" + block * times)
    return folder


@pytest.mark.long
def test_csv_to_parquet_and_back(folder):
    peaks = {}
    for name, rows in (("small", 500_000), ("large", 2_500_000)):
        copied, there = copy(folder, "csv_extractor", "parquet_writer", f"{name}.csv", f"{name}.parquet")
        back, again = copy(folder, "parquet_extractor", "csv_writer", f"{name}.parquet", f"{name}-again.csv")
        assert copied == back == rows
        assert (folder / f"{name}-again.csv").read_bytes() == (folder / f"{name}.csv").read_bytes()
        peaks[name] = (there, again)
    assert peaks["large"][0] < peaks["small"][0] + 80
    assert peaks["large"][1] < peaks["small"][1] + 80
    assert max(peaks["large"]) < 300


def test_csv_to_packed_json_and_back(folder):
    peaks = {}
    for name, rows in (("small", 60_000), ("large", 300_000)):
        lines = (folder / f"{name}.csv").read_text().splitlines(keepends=True)
        (folder / f"{name}-part.csv").write_text("".join(lines[: rows + 1]))
        copied, there = copy(folder, "csv_extractor", "json_writer", f"{name}-part.csv", f"{name}.jsonl.zst")
        back, again = copy(folder, "json_extractor", "csv_writer", f"{name}.jsonl.zst", f"{name}-part-again.csv")
        assert copied == back == rows
        assert (folder / f"{name}-part-again.csv").read_bytes() == (folder / f"{name}-part.csv").read_bytes()
        peaks[name] = (there, again)
    assert peaks["large"][0] < peaks["small"][0] + 80
    assert peaks["large"][1] < peaks["small"][1] + 80
    assert max(peaks["large"]) < 300


MIXED = """
    import re, sys
    from pathlib import Path
    import numpy as np
    import pyarrow as pa
    from osiris.registry import load_registry
    from osiris.table import stream
    from osiris.testing.trial import Trial
    from osiris.types import schema_of

    rows, folders = int(sys.argv[1]), int(sys.argv[2])

    def batches():
        chance = np.random.default_rng(1)
        for start in range(0, rows, 50_000):
            ids = np.arange(start, start + 50_000)
            keys = chance.integers(0, folders, len(ids))
            yield pa.record_batch({"id": ids, "key": keys, "text": [f"some text {n * 7919}" for n in ids]})

    config = {"path": "lake/", "partition_by": ["key"]}
    trial = Trial(load_registry(), "filesystem.parquet_writer", Path.cwd(), config)
    print(trial.write(stream(schema_of(next(batches()).schema), batches(), "fixed")).rows)
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024)
"""


def publish(folder, rows, folders):
    """Publish mixed rows in a separate process; returns its peak memory in MB, and the number of files."""
    folder.mkdir()
    command = [sys.executable, "-c", textwrap.dedent(MIXED), str(rows), str(folders)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    written, memory = map(int, done.stdout.split())
    assert written == rows
    return memory, len(list((folder / "lake").rglob("part-*")))


@pytest.mark.long
def test_many_folders_in_no_order(tmp_path):
    few, one = publish(tmp_path / "few", 1_250_000, 50)  # enough to fill the sorted runs, as more rows would
    many, all_of_them = publish(tmp_path / "many", 2_500_000, 5000)
    assert (one, all_of_them) == (50, 5000)
    assert many < few + 120
    assert many < 400
