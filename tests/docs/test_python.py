"""Every example of the reference of `import osiris` does what it shows."""

import datetime as dt
import decimal
import doctest
import subprocess
import sys
from pathlib import Path

import osiris

COMMAND = Path(sys.executable).parent / "osiris"


def test_examples(tmp_path, monkeypatch):
    subprocess.run([COMMAND, "init", tmp_path / "shop"], check=True, capture_output=True)
    monkeypatch.chdir(tmp_path / "shop")
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    functions = [name for name in osiris.__all__ if not isinstance(getattr(osiris, name), type | str)]
    for name in sorted(functions):
        for example in finder.find(getattr(osiris, name), globs={"osiris": osiris, "datetime": dt}):
            assert example.examples, name
            assert runner.run(example).failed == 0, name
    assert runner.tries >= len(functions)


def test_the_pipeline_of_the_reference_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    subprocess.run([COMMAND, "init", tmp_path / "shop"], check=True, capture_output=True)
    monkeypatch.chdir(tmp_path / "shop")
    Path("pipelines/tickets.yaml").write_text(text, encoding="utf-8")
    rows = "ticket;opened;minutes\n1;15.10.2025;12,5\nnone;16.10.2025;3,0\n"
    Path("data/tickets.csv").write_text(rows, encoding="cp1250")
    run = osiris.run("pipelines/tickets.yaml")
    expected = [{"ticket": 1, "opened": dt.date(2025, 10, 15), "minutes": decimal.Decimal("12.5")}]
    assert run.output("save").arrow().to_pylist() == expected
    assert run.rejected["tickets"].polars()["value"].to_list() == ["none"]
    assert run.rejected["tickets"].pandas()["column"].tolist() == ["ticket"]
    assert run.seconds >= max(step.seconds for step in run.steps.values())
