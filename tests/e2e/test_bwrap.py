"""`--target bwrap`: the same run in a local sandbox, which sees and changes only what the plan names."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.parity.cases import READ, WRITE, Case, lay_out

from osiris.errors import OsirisError
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job, Secrets
from osiris.runner.remote.bwrap import options, sandboxed_worker
from osiris.runner.remote.sandbox_scope import scope_of


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    lay_out(folder)
    (folder / ".env").write_text("TOKEN=canary\n")
    (folder / "case.yaml").write_text(Case((READ, WRITE)).text("case"))
    return folder


def step(name, component, mode, connection=None, **config):
    return {"id": name, "component": component, "mode": mode, "connection": connection, "config": config}


def job(folder, *steps):
    own = [folder / ".osiris" / name for name in ("scratch", "spools", "artifacts")]
    for path in own:
        path.mkdir(parents=True, exist_ok=True)
    scratch, spools, artifacts = map(str, own)
    return Job("run", str(folder), scratch, artifacts, limits_of(1, 1), list(steps), spools=spools)


ORDERS = step("orders", "filesystem.csv_extractor", "read", path="data/orders.csv")


def inside(asked, script):
    """Run a script in the sandbox of a job, and return its output."""
    reach = scope_of(asked, Secrets())
    command = ["bwrap", *options(asked, reach), "--", "/bin/sh", "-c", script]
    environment = os.environ | {"TOKEN": "canary"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", ["output/out.csv", "out.csv", "../out.csv"])
def test_only_what_the_plan_names_is_seen(project, path):
    (project / "output").mkdir()
    (project.parent / "neighbour").write_text("canary")
    asked = job(project, ORDERS, step("out", "filesystem.csv_writer", "write", path=path))
    seen = inside(
        asked, f"cd {project} && cat .env ../neighbour data/customers.csv osiris.yaml; find . -type f -size +0"
    )
    assert "canary" not in seen
    assert "Praha" not in seen
    assert "./data/orders.csv" in seen
    assert (
        "not permitted" in (said := inside(asked, f"rm {project}/data/orders.csv"))
        or "busy" in said
        or "Read-only" in said
    )
    assert (project / "data" / "orders.csv").exists()


def test_it_has_no_network_no_environment_and_no_other_processes(project):
    asked = job(project, ORDERS)
    said = inside(asked, "cat /proc/net/dev; env; ls -d /proc/[0-9]*; hostname")
    assert "eth" not in said
    assert "canary" not in said
    assert len([line for line in said.splitlines() if line.startswith("/proc/")]) <= 4
    names = {line.partition("=")[0] for line in said.splitlines() if "=" in line}
    assert names <= {"TZ", "LC_ALL", "PATH", "HOME", "PWD", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "_"}


def test_its_worker_leaves_compiled_functions_alone_where_the_host_does(project, monkeypatch):
    assert "OSIRIS_KERNELS" not in inside(job(project, ORDERS), "env")
    monkeypatch.setenv("OSIRIS_KERNELS", "off")
    assert "OSIRIS_KERNELS=off" in inside(job(project, ORDERS), "env").splitlines()


def test_a_run_says_where_it_ran(project, osiris):
    done = osiris("run", "case.yaml", "--target", "bwrap", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    session = json.loads(done.stdout)["data"]["session"]
    summary = json.loads((project / "logs" / session / "run.json").read_text())
    assert (summary["adapter"], summary["settings"]["run.target"]["origin"]) == ("bwrap", "command line")
    osiris("logs", "html", "last", "--output", "page.html", cwd=project)
    assert '<span class="badge" id="badge">Sandbox</span>' in (project / "page.html").read_text()


def test_the_target_can_be_set_in_the_project(project, osiris):
    (project / "osiris.yaml").write_text("run: {target: bwrap}\n")
    assert osiris("run", "case.yaml", cwd=project).returncode == 0
    (session,) = (project / "logs").glob("*-case-*")
    assert json.loads((session / "run.json").read_text())["adapter"] == "bwrap"


def refused(folder, *steps, paths=None, **fields):
    asked, secrets = replace(job(folder, *steps), paths=paths or {}), Secrets(fields)
    with pytest.raises(OsirisError) as caught, sandboxed_worker(asked, secrets) as link:
        link.ask(asked, secrets, print)
    return [item.code for item in caught.value.diagnostics]


def test_without_the_program_it_says_what_to_install(project, monkeypatch):
    monkeypatch.setenv("PATH", str(project))
    assert refused(project, ORDERS) == ["SBX001"]


def test_a_machine_that_makes_no_sandboxes(project, monkeypatch):
    program = project / "bwrap"
    program.write_text(f"#!{sys.executable}\nimport sys; sys.exit('bwrap: No permissions to create a namespace')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(project))
    assert refused(project, ORDERS) == ["SBX002"]


def test_the_network_must_be_allowed(project):
    table = step("rows", "postgres.extractor", "read", "@postgres.shop", table="t")
    assert refused(project, table, **{"@postgres.shop": {"host": "db"}}) == ["SBX003"]


def test_the_root_of_all_is_no_place_for_outputs(project):
    assert refused(
        Path(project), step("out", "filesystem.csv_writer", "write", path="/out.csv"), paths={"write": ["/"]}
    ) == ["SBX004"]
