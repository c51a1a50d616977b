"""`--e2b-install-deps`: a bare sandbox installs what it lacks from its registry, else from wheels that are sent."""

import json
import os
import shutil
import socket
import time
import uuid

import pytest
from tests.e2e.test_remote import Desk
from tests.parity import told
from tests.parity.cases import READ, WRITE
from tests.patience import SOON
from tests.servers.e2b import Base, e2b_service

from osiris.runner.remote.bootstrap import RemotePython
from osiris.runner.remote.install import locked_wheels

NOWHERE = "http://127.0.0.1:9/simple"
CUT_OFF = {"PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "0"}
"""The environment of a host that reaches no registry either."""
REGISTRY = {"index-url": os.environ["PIP_INDEX_URL"]} if "PIP_INDEX_URL" in os.environ else {}
"""Where the sandbox's pip finds a registry: where the tests' own does, by default pip's own."""


def pip_settings(**settings):
    """The command that sets the registry of the sandbox's pip."""
    lines = "".join(f"{name}={value}\\n" for name, value in settings.items())
    return f"mkdir -p .config/pip; printf '[global]\\n{lines}' > .config/pip/pip.conf"


def other_machine(name):
    """The commands that create a Python which claims to run on another machine."""
    patch = f'import platform; platform.machine = lambda: "{name}"'
    packages = "$(echo /opt/osiris/lib/python3.*/site-packages)"
    return "python3 -m venv --without-pip /opt/osiris", f"echo '{patch}' > {packages}/sitecustomize.py"


BASES = {
    "cut-off": Base(commands=(pip_settings(**{"index-url": NOWHERE, "retries": 0}),)),
    "open": Base(commands=(pip_settings(**REGISTRY),)),
    "without-pip": Base(commands=("python3 -m venv --without-pip /opt/osiris",)),
    "other": Base(commands=other_machine("riscv64")),
}


@pytest.fixture(scope="module")
def bare():
    """A local E2B whose templates have only the system's Python; some reach a registry."""
    with e2b_service(bases=BASES) as service:
        yield service


class Bare(Desk):
    def install(self, template, **env):
        code, data, found = self.run("--e2b-install-deps", "--e2b-template", template, "--new-run", **env)
        assert [sandbox.alive for sandbox in self.sandboxes] == [False] * len(self.sandboxes)
        for sandbox in self.sandboxes:
            shutil.rmtree(sandbox.tree, ignore_errors=True)  # packages are large
        return code, data, found

    @property
    def wheels(self):
        return self.folder / ".osiris" / "cache" / "wheels"

    def said(self):
        return json.loads((self.session / "run.json").read_text())["diagnostics"][-1]["message"]

    @property
    def session(self):
        return max((path for path in (self.folder / "logs").iterdir() if path.is_dir()), key=lambda path: path.name)

    def told(self):
        """Return the event, the metrics and the figures of a session."""
        events = [e for e in told.lines(self.session / "events.jsonl") if e["event"] == "packages_installed"]
        metrics = {m["metric"]: m["value"] for m in told.lines(self.session / "metrics.jsonl")}
        return events, metrics, json.loads((self.session / "run.json").read_text())["remote"]


@pytest.fixture
def desk(osiris, tmp_path, bare):
    bare.templates.forget_snapshots()
    made = Bare(osiris, tmp_path / "project", bare)
    made.save(READ, WRITE)
    return made


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """A folder for the wheels of the first test that fetches them."""
    return tmp_path_factory.mktemp("fetched")


def test_wheels_are_sent_where_no_registry_is_reached(desk, fetched):
    assert desk.install("cut-off")[::2] == (0, [])
    (event,), metrics, figures = desk.told()
    (folder,) = desk.wheels.iterdir()
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert (event["origin"], event["wheels"], event["bytes"]) == ("sent", len(sizes), sum(sizes))
    assert folder.name.split("-")[1] == event["python"].rpartition(".")[0]
    assert figures["wheels_bytes"] == metrics["wheels_bytes"] == sum(sizes)
    assert figures["install_ms"] == metrics["install_ms"] == event["duration_ms"] > 0
    assert told.outputs(desk.folder)["output/out.csv"] == told.outputs(desk.folder)["data/orders.csv"]
    shutil.copytree(desk.wheels, fetched, dirs_exist_ok=True)


def test_wheels_that_are_here_are_not_fetched_again_and_others_go_when_nobody_uses_them(fetched, tmp_path, monkeypatch):
    for name, value in CUT_OFF.items():
        monkeypatch.setenv(name, value)
    cache = shutil.copytree(fetched, tmp_path / "wheels")
    (folder,) = cache.iterdir()
    _, minor, machine, *libc = folder.name.split("-")
    found = RemotePython("x", f"{minor}.0", "cpython", "Linux", machine, " ".join(libc), pip=True)
    sent, stale = sorted(folder.iterdir()), cache / "0a1b2c3d-3.11-x86_64-glibc-2.41"
    stale.mkdir()
    for left in (cache / "notes.txt", folder / "notes.txt"):
        left.write_text("not a wheel")
    with locked_wheels(cache, found, lambda: None) as wheels:
        with locked_wheels(cache, found, lambda: None) as again:
            assert sorted(wheels) == sorted(again) == sent
        assert stale.exists()
    assert not stale.exists()
    assert (cache / "notes.txt").exists()


def test_a_registry_that_says_nothing_is_not_waited_for_when_somebody_asks_to_stop(tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def check():
        raise Stopped

    found = RemotePython("x", "3.12.0", "cpython", "Linux", "x86_64", "glibc 2.41", pip=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        began = time.monotonic()
        with pytest.raises(Stopped), locked_wheels(tmp_path, found, check):
            pass
        assert time.monotonic() - began < SOON


def test_a_wheel_that_was_changed_here_is_never_sent(desk, fetched):
    shutil.copytree(fetched, desk.wheels)
    (folder,) = desk.wheels.iterdir()
    with next(folder.glob("duckdb-*.whl")).open("ab") as file:
        file.write(b"X")
    assert desk.install("cut-off", **CUT_OFF)[::2] == (3, ["SBX025"])
    assert "this machine could not download the packages either" in desk.said()


def test_wheels_are_within_the_limit_of_what_is_sent(desk, fetched):
    shutil.copytree(fetched, desk.wheels)
    assert desk.install("cut-off", OSIRIS_RUN__REMOTE__UPLOAD_LIMIT="1MB", **CUT_OFF)[::2] == (2, ["SBX027"])


@pytest.mark.long
def test_what_was_installed_is_reused_until_the_template_is_built_anew(desk, fetched, bare):
    shutil.copytree(fetched, desk.wheels)
    assert desk.install("cut-off", **CUT_OFF)[::2] == (0, [])
    (kept,) = bare.templates.snapshots(None, None)
    left = sorted(path.name for path in (kept.base.folder / "home/user/osiris").iterdir())
    assert left == ["packages", "sandbox.lock"]  # nothing of the project was there yet
    (folder,) = desk.wheels.iterdir()
    shutil.rmtree(folder)  # installing again would now fail
    assert desk.install("cut-off", **CUT_OFF)[::2] == (0, [])
    events, metrics, _ = desk.told()
    assert (events, "install_ms" in metrics) == ([], False)
    asked = desk.sandboxes[-1].asked
    assert (asked["templateID"], asked["allow_internet_access"]) == ("a-team/" + kept.names[-1] + ":default", False)
    assert told.outputs(desk.folder)["output/out.csv"] == told.outputs(desk.folder)["data/orders.csv"]
    bare.templates.find("cut-off").build_id = str(uuid.uuid4())
    assert desk.install("cut-off", **CUT_OFF)[::2] == (3, ["SBX025"])


@pytest.mark.long
def test_a_service_that_keeps_nothing_is_said_and_the_run_goes_on(desk, fetched, bare):
    shutil.copytree(fetched, desk.wheels)
    bare.faults.answer(400, method="POST", path="/snapshots$", message="snapshots are not enabled for the team")
    code, _, found = desk.install("cut-off", **CUT_OFF)
    assert (code, found) == (0, ["SBX031"])
    assert "could not keep the sandbox with its packages for later runs" in desk.said()
    assert "snapshots are not enabled for the team" in desk.said()
    assert bare.templates.snapshots(None, None) == []


@pytest.mark.long
def test_packages_come_from_the_registry_that_a_sandbox_reaches(desk):
    assert desk.install("open", **CUT_OFF)[::2] == (0, [])
    (event,), metrics, _ = desk.told()
    assert (event["origin"], event["wheels"], metrics["wheels_bytes"]) == ("registry", 0, 0)
    assert not desk.wheels.exists()


def test_without_pip_nothing_can_be_installed(desk):
    done = desk("run", "case.yaml", "--e2b", "--e2b-install-deps", "--e2b-template", "without-pip")
    assert done.returncode == 3
    assert "SBX025" in done.stderr
    assert "its Python has no pip" in done.stderr


def test_a_python_that_no_package_fits_is_named_with_those_that_are_fitted(desk):
    done = desk("run", "case.yaml", "--e2b", "--e2b-install-deps", "--e2b-template", "other")
    assert done.returncode == 2
    assert "SBX026" in done.stderr
    for named in ("Linux riscv64 (glibc", "cpython 3.11 to 3.14", "x86_64 or aarch64"):
        assert named in done.stderr
