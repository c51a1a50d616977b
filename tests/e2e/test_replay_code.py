"""A replay with another version of a component: the code is the reason."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HELLO = Path(__file__).parents[1] / "fixtures" / "hello_component"
PIPELINE = """\
oml_version: "0.1.0"
name: letters
steps:
  - {id: greet, component: hello.extractor, mode: read, config: {names: [Ada], greeting: dear}}
  - {id: post, component: hello.writer, mode: write, config: {path: output/letter.txt}}
"""


def test_another_version_of_a_component_is_named(tmp_path):
    venv, package, project = tmp_path / "venv", tmp_path / "package", tmp_path / "project"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    shutil.copytree(HELLO, package)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", site, package], check=True)
    project.mkdir()
    (project / "osiris.yaml").touch()
    (project / "letters.yaml").write_text(PIPELINE)

    def call(*arguments, code=0):
        command = [venv / "bin" / "python", "-I", "-m", "osiris.cli.main", *arguments, "--json"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    call("run", "letters.yaml")
    assert call("replay")["data"]["same"]
    extractor = site / "hello_component" / "extractor"
    spec, driver = extractor / "spec.yaml", extractor / "driver.py"
    spec.write_text(spec.read_text().replace("version: 0.3.0", "version: 0.4.0"))
    assert "0.4.0" in spec.read_text()
    told = call("replay")
    assert (told["data"]["same"], [item["code"] for item in told["diagnostics"]]) == (True, ["RUN023"])
    driver.write_text(driver.read_text().replace("{config.greeting} ", "very {config.greeting} "))
    assert "very " in driver.read_text()
    told = call("replay", code=1)
    assert [item["kind"] for item in told["data"]["reasons"]] == ["code"]
    assert "version 0.4.0, planned 0.3.0" in told["data"]["reasons"][0]["text"]
    assert (project / "output" / "letter.txt").read_text() == "dear Ada\n"
