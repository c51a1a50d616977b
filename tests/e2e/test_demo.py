"""The demo, as a person and as a program see it."""

import json

import pytest


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    import subprocess
    import sys
    from pathlib import Path

    folder = tmp_path_factory.mktemp("demo")
    command = [str(Path(sys.executable).parent / "osiris"), "demo", "flights", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return done, folder / "flights"


def test_the_demo_proves_what_it_says(demo):
    done, folder = demo
    assert done.returncode == 0, done.stderr
    envelope = json.loads(done.stdout)
    data = envelope["data"]
    assert (data["dir"], data["verify"], data["tampered"]) == ("flights", 0, 4)
    assert data["caught"] == ["SQL009"]
    assert len(set(data["sessions"])) == 2
    assert all((folder / "logs" / session / "run.json").is_file() for session in data["sessions"])
    assert {path.name for path in (folder / "output").iterdir()} == {
        "delays_by_carrier.csv",
        "delays_by_aircraft_age.parquet",
        "delays_by_wind.csv",
    }


def test_every_command_that_it_prints_does_what_it_showed(demo, osiris):
    done, folder = demo
    typed = [line[2:].split() for line in done.stderr.splitlines() if line.startswith("$ osiris ")]
    codes = [osiris(*words[1:], cwd=folder).returncode for words in typed]
    assert codes == [0, 2, 0, 0, 0, 4]


def test_the_printed_rows_are_the_rows(demo):
    _, folder = demo
    lines = (folder / "output" / "delays_by_carrier.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "airline,flights,cancelled,mean_delay,late_percent"
    assert lines[1:3] == ["SkyWest Airlines Inc.,1,0,67,100", "ExpressJet Airlines Inc.,4171,182,24.23,34.21"]
    assert len(lines) == 17


def test_the_demo_overwrites_nothing(demo, osiris):
    _, folder = demo
    again = osiris("demo", "flights", "--json", cwd=folder.parent)
    assert (again.returncode, json.loads(again.stdout)["diagnostics"][0]["code"]) == (2, "PRJ005")
