"""The wheel alone, in environments without the checkout: it works as the checkout does.

Each environment is new, and links only those packages of a locked one (`make venv` builds one for each supported Python
of this machine) that the wheel's metadata requires; others are missing.
"""

import io
import json
import os
import subprocess
import tarfile
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from tests.e2e.test_dist import ROOT, built, needed, requirements_of
from tests.parity.cases import READ, WRITE, Case, lay_out

FOUND = sorted(path.name for path in ROOT.glob(".venv*") if (path / ".complete").exists())
ENVIRONMENTS = [pytest.param(name, marks=[pytest.mark.long] if name != ".venv" else []) for name in FOUND]
EXTRAS = ("chat", "e2b", "mcp", "aws", "gcp", "keyring", "lsp", "notify", "otel")
HELLO = ROOT / "tests" / "fixtures" / "hello_component"


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return built(tmp_path_factory.mktemp("dist") / "checkout")


@pytest.fixture(scope="module")
def wheel(dist):
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class Environment:
    """A fresh environment with the wheel in it, and the packages that it requires with some extras."""

    def __init__(self, folder, locked, dist, *extras):
        self.folder, self.locked, self.python = folder, locked / "bin" / "python", folder / "bin" / "python"
        subprocess.run([self.locked, "-m", "venv", "--without-pip", folder], check=True)
        (packages,) = locked.glob("lib/python*/site-packages")
        (self.site,) = folder.glob("lib/python*/site-packages")
        version = packages.parent.name.removeprefix("python")
        required = needed(requirements_of(dist), {*extras}, {"python_version": version}, packages)
        for found in distributions(path=[str(packages)]):
            if canonicalize_name(found.metadata["Name"]) in required:
                for name in {file.parts[0] for file in found.files} - {"..", "__pycache__"}:
                    if not (self.site / name).exists():
                        (self.site / name).symlink_to(packages / name)
        self.install(next(dist.glob("*.whl")))

    def pip(self, *words):
        command = [self.locked, "-m", "pip", "--python", self.python, "--disable-pip-version-check", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, package):
        self.pip("install", "--quiet", "--no-index", "--no-deps", package)

    def install_source(self, package):
        """Build another author's package with the locked environment, and install it."""
        wheels = self.folder / package.name
        command = [self.locked, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels]
        subprocess.run(command, cwd=package, check=True, capture_output=True)
        self.install(next(wheels.glob("*.whl")))

    def __call__(self, *words, cwd, code=0, program="osiris", **environ):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **environ}
        command = [self.folder / "bin" / program, *words]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def data(self, *words, **options):
        return json.loads(self(*words, "--json", **options))["data"]


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def installed(request, dist, tmp_path_factory):
    """The wheel without any extra."""
    return Environment(tmp_path_factory.mktemp("fresh") / "venv", ROOT / request.param, dist)


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def extended(request, dist, tmp_path_factory):
    """The wheel with all extras."""
    return Environment(tmp_path_factory.mktemp("extended") / "venv", ROOT / request.param, dist, *EXTRAS)


def test_the_wheel_has_every_file_of_the_checkout(wheel):
    source = ROOT / "src"
    files = [path for path in (source / "osiris").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    of_checkout = {path.relative_to(source).as_posix(): path.read_bytes() for path in files}
    assert {name: data for name, data in wheel.items() if ".dist-info/" not in name} == of_checkout
    assert {name.rpartition(".")[2] for name in of_checkout} >= {"in", "jinja", "js", "lock", "toml", "typed", "yaml"}


def test_every_module_is_imported_with_what_the_metadata_requires(installed, tmp_path):
    """Only the two modules that belong to an extra need more."""
    script = """
import importlib, json, pkgutil, osiris
missing = {}
for module in pkgutil.walk_packages(osiris.__path__, "osiris.", onerror=lambda name: None):
    try:
        module.name.endswith(".__main__") or importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        missing[module.name] = error.name
print(json.dumps([osiris.__file__, missing]))
"""
    file, missing = json.loads(installed("-c", script, program="python", cwd=tmp_path))
    assert Path(file).parent.parent == installed.site
    assert {*missing} == {"osiris.chat.providers.hosted", "osiris.lsp.server", "osiris.mcp.server"}
    installed.pip("check")


@pytest.mark.parametrize(
    ("extra", "words"),
    {
        "mcp": ("mcp",),
        "lsp": ("lsp",),
        "e2b": ("run", "case.yaml", "--e2b"),
        "chat": ("chat", "copy", "--provider", "openai"),
    }.items(),
)
def test_a_missing_extra_is_named_as_the_metadata_has_it(installed, dist, tmp_path, extra, words):
    lay_out(tmp_path)
    (tmp_path / "case.yaml").write_text(Case((READ, WRITE)).text("case"))
    (line,) = (line.partition(";")[0] for line in requirements_of(dist) if line.endswith(f"extra == '{extra}'"))
    keys = {"E2B_API_KEY": "e2b_0", "OPENAI_API_KEY": "sk-none"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **keys}
    command = [installed.folder / "bin" / "osiris", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, stdin=-3)
    assert (done.returncode, f"pip install '{line}'" in done.stderr) == (2, True), done.stderr


@pytest.mark.long
def test_the_demo_runs(installed, tmp_path):
    data = installed.data("demo", "flights", cwd=tmp_path)
    assert (data["verify"], data["tampered"]) == (0, 4)
    installed("logs", "html", cwd=tmp_path / "flights")
    assert (tmp_path / "flights/logs/index.html").is_file()


@pytest.mark.parametrize("installed", FOUND, indirect=True)
def test_same_manifest_on_every_python(installed, osiris, tmp_path):
    installed("init", "shop", cwd=tmp_path)
    project = tmp_path / "shop"
    here = json.loads(osiris("compile", "pipelines/example.yaml", "--json", cwd=project).stdout)
    there = installed.data("compile", "pipelines/example.yaml", cwd=project)
    assert there["fingerprint"] == here["data"]["fingerprint"]
    assert installed.data("run", "pipelines/example.yaml", cwd=project)["status"] == "complete"
    installed("logs", "html", "last", "--output", "page.html", cwd=project)
    assert "<html" in (project / "page.html").read_text("utf-8")


def test_a_new_component_is_built_and_runs(installed, tmp_path):
    made = installed.data("components", "new", "acme.numbers", cwd=tmp_path)
    installed.install_source(tmp_path / made["dir"])
    installed.pip("check")  # it requires osiris-data, which is installed
    installed("components", "validate", "acme.numbers", cwd=tmp_path)
    installed("init", "p", cwd=tmp_path)
    numbers = "{id: numbers, component: acme.numbers, mode: read, config: {rows: 3, first: 7}}"
    (tmp_path / "p" / "n.yaml").write_text(Case((numbers, WRITE)).text("numbers"))
    installed("run", "n.yaml", cwd=tmp_path / "p")
    assert (tmp_path / "p/output/out.csv").read_text() == "number,label\n7,row 7\n8,row 8\n9,row 9\n"


def test_somebody_elses_package_gets_the_wheels_code_elsewhere(installed, tmp_path):
    """A package that requires osiris-data adds a target, where the bundle's code runs the worker."""
    installed.install_source(HELLO)
    installed.pip("check")
    lay_out(tmp_path / "project")
    (tmp_path / "project" / "case.yaml").write_text(Case((READ, WRITE)).text("case"))
    data = installed.data("run", "case.yaml", "--target", "hello.folder", cwd=tmp_path / "project")
    assert data["status"] == "complete"
    assert (tmp_path / "project/output/out.csv").read_text().count("\n") > 1


def test_the_worker_bundle_is_that_of_the_checkout(installed, wheel, tmp_path):
    from osiris.runner.remote.bundle import code_files

    script = "import sys; from osiris.runner.remote.bundle import pack_code; pack_code(sys.stdout.buffer)"
    command = [installed.python, "-c", script]
    packed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = {info.name.removeprefix("code/"): archive.extractfile(info).read() for info in archive}
    assert files == {name: wheel[name] for name in files}
    assert {*files} == {name for name, _ in code_files()}


def test_a_sandbox_of_e2b_is_built_and_used(extended, e2b, tmp_path):
    extended.pip("check")
    lay_out(tmp_path / "project")
    (tmp_path / "project" / "case.yaml").write_text(Case((READ, WRITE)).text("case"))
    name = f"of-the-wheel-{extended.site.parent.name.replace('.', '-')}"
    words = ("sandboxes", "build", "--e2b-template", name)
    assert extended.data(*words, cwd=tmp_path / "project", **e2b.environment)["template"] == name
    steps = e2b.templates.find(name).steps
    (copied,) = (step for step in steps if step["type"] == "COPY")
    with tarfile.open(e2b.templates.file(copied["filesHash"])) as archive:
        (lock,) = (info for info in archive if info.isfile())
        assert archive.extractfile(lock).read() == (ROOT / "src/osiris/runner/remote/sandbox.lock").read_bytes()
    words = ("run", "case.yaml", "--e2b")
    assert extended.data(*words, cwd=tmp_path / "project", **e2b.environment)["status"] == "complete"


def test_extras_are_used_from_the_wheel(extended, tmp_path):
    """The server of agents answers, and what each extra brings is imported with our modules that use it."""
    extended("init", "shop", cwd=tmp_path)
    asked = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ]
    asked[0]["params"]["clientInfo"] = {"name": "test", "version": "1"}
    lines = "".join(json.dumps({"jsonrpc": "2.0", **each}) + "\n" for each in asked)
    command = [extended.folder / "bin" / "osiris", "mcp"]
    with subprocess.Popen(command, cwd=tmp_path / "shop", stdin=-1, stdout=-1, stderr=-3, text=True) as server:
        server.stdin.write(lines)
        server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in range(2)]
        server.stdin.close()
        assert server.wait(60) == 0
    assert len(answers[1]["result"]["tools"]) > 5
    modules = "osiris.chat.providers.hosted, osiris.runner.remote.e2b, osiris.mcp.server, pydantic_ai, e2b, mcp"
    modules += ", botocore.session, google.auth.transport.requests, keyring, apprise, opentelemetry.sdk.trace"
    modules += ", opentelemetry.exporter.otlp.proto.http.trace_exporter"
    extended("-c", f"import {modules}", program="python", cwd=tmp_path)
