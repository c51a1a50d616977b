"""Another author's component that tries to escape from the sandbox: as root, and as nobody."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from tests.chance import say_tried

HOSTILE = Path(__file__).parents[1] / "fixtures" / "hostile" / "hostile"
NOBODY = 65534
USERS = [0, NOBODY] if os.getuid() == 0 else [os.getuid()]
ENTRY_POINTS = "[osiris.components]\nhostile.probe = hostile.probe\n[osiris.families]\nhostile = hostile.family\n"
FAMILY = "name: hostile\ntitle: Hostile\nfields: {type: object, properties: {host: {type: string}}}\n"
BESIDE = "from pathlib import Path\ntry: Path(__file__).with_name('imported').touch()\nexcept OSError: pass\n"
PIPELINE = """\
oml_version: "0.1.0"
name: probe
steps:
  - {{id: try, component: hostile.probe, mode: read, config: {{victim: {victim}, pid: {pid}, socket: {socket}}}}}
  - {{id: out, component: filesystem.csv_writer, mode: write, config: {{path: output/answers.csv}}}}
"""
LEAST = 25


def interpreter_for(folder, user):
    """Return a Python that a user may start: this one, or a copy if only another user has access."""
    base = Path(sys.base_prefix)
    who = {"user": user, "group": user, "extra_groups": []} if os.getuid() == 0 else {}
    try:
        subprocess.run([sys.executable, "-I", "-c", ""], check=True, **who)
    except (OSError, subprocess.CalledProcessError):
        library = Path(sysconfig.get_path("stdlib")).relative_to(base)
        left_out = shutil.ignore_patterns("test", "site-packages", "__pycache__", "idlelib", "lib2to3", "ensurepip")
        shutil.copytree(base / library, folder / "python" / library, ignore=left_out, symlinks=True)
        for shared in (base / "lib").glob("libpython*"):
            shutil.copy(shared, folder / "python" / "lib")
        (folder / "python" / "bin").mkdir()
        return shutil.copy(os.path.realpath(sys.executable), folder / "python" / "bin")
    return sys.executable


class Desk:
    """A project with the hostile package, and the files it must not reach, all owned by one user."""

    def __init__(self, folder, user):
        self.folder, self.user = folder, user
        self.root, self.victim, venv = folder / "project", folder / "victim", folder / "venv"
        subprocess.run([interpreter_for(folder, user), "-m", "venv", "--without-pip", venv], check=True)
        self.python = venv / "bin" / "python"
        (self.site,) = venv.glob("lib/python*/site-packages")
        (self.site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        shutil.copytree(HOSTILE, self.site / "hostile")
        (self.site / "hostile" / "family.yaml").write_text(FAMILY)
        for name in ("family", "family_doctor", "family_discover"):
            (self.site / "hostile" / f"{name}.py").write_text(BESIDE)
        info = self.site / "hostile-1.0.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0.0\n")
        (info / "entry_points.txt").write_text(ENTRY_POINTS)
        self.lay_out()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)

    def lay_out(self):
        for path in (".git/config", "data/other.csv", ".env", "osiris_connections.yaml", "pipelines/x.yaml"):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text("secret: canary\n")
        (self.root / "osiris.yaml").write_text("run: {target: bwrap}\n")
        (self.root / ".env").write_text("SECRET=canary\n")
        (self.root / "osiris_connections.yaml").write_text("connections: {hostile: {one: {host: x}}}\n")
        (self.victim / "project").mkdir(parents=True)
        (self.victim / "secret.txt").write_text("canary")
        (self.victim / "project" / ".env").write_text("canary")

    def __call__(self, *arguments):
        command = [self.python, "-I", "-m", "osiris.cli.main", *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "CANARY": "canary"}
        who = {"user": self.user, "group": self.user, "extra_groups": []} if os.getuid() == 0 else {}
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=300, check=False, **who
        )

    def state(self):
        """Return what the component must not change."""
        kept = [*self.victim.rglob("*"), *(self.root / ".git").rglob("*"), *(self.root / "data").rglob("*")]
        return {str(path): path.read_bytes() for path in kept if path.is_file()}

    def imported(self):
        return sorted(path.parent.name for path in (self.site / "hostile").rglob("imported"))


@pytest.fixture(scope="module", params=USERS, ids=[{0: "root", NOBODY: "nobody"}.get(user, "us") for user in USERS])
def desk(request):
    folder = Path(tempfile.mkdtemp(prefix="osiris-escapes-"))
    folder.chmod(0o755)
    yield Desk(folder, request.param)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def answers(desk):
    """The answers that the component got, by attempt, while a process of the host existed."""
    waiting = "import sys, time; print(flush=True); time.sleep(600)"
    with socket.socket() as port, socket.socket(socket.AF_UNIX) as abstract:
        port.bind(("127.0.0.1", 0))
        name = f"osiris-escape-{port.getsockname()[1]}"
        abstract.bind(f"\0{name}")
        for each in (port, abstract):
            each.listen()
        host = subprocess.Popen([sys.executable, "-c", waiting, "canary"], stdout=subprocess.PIPE)
        try:
            host.stdout.readline()
            text = PIPELINE.format(victim=desk.victim, pid=host.pid, socket=name)
            (desk.root / "pipelines" / "probe.yaml").write_text(text)
            before = desk.state()
            done = desk("run", "pipelines/probe.yaml", "--json")
            assert done.returncode == 0, done.stdout + done.stderr
            assert host.poll() is None
            assert desk.state() == before
        finally:
            host.kill()
            host.communicate()
    with (desk.root / "output" / "answers.csv").open() as file:
        return {row["try"]: row["answer"] for row in csv.DictReader(file)}


def test_no_way_leads_out(answers):
    print("\n".join(f"{name}: {answer}" for name, answer in answers.items()))
    say_tried("ways out of the sandbox", len(answers))
    assert len(answers) > LEAST
    assert [name for name, answer in answers.items() if answer == "ESCAPED"] == []


def test_it_gets_no_folder_that_holds_the_project(desk, answers):
    text = (desk.root / "pipelines" / "probe.yaml").read_text().replace("output/answers.csv", "answers.csv")
    (desk.root / "pipelines" / "near.yaml").write_text(text.replace("name: probe", "name: near"))
    done = desk("run", "pipelines/near.yaml", "--json")
    assert [item["code"] for item in json.loads(done.stdout)["diagnostics"] if item["severity"] == "error"] == [
        "SBX030"
    ]
    assert not (desk.root / "answers.csv").exists()


def test_links_that_it_leaves_are_gone(desk, answers):
    assert [path for path in (desk.root / "logs").rglob("*") if path.is_symlink() and path.name == "link.txt"] == []
    assert not (desk.root / "output" / "link.txt").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("validate", "pipelines/probe.yaml"),
        ("compile", "pipelines/probe.yaml", "--refresh"),
        ("preview", "pipelines/probe.yaml"),
        ("run", "pipelines/probe.yaml", "--dry-run"),
        ("run", "pipelines/probe.yaml", "--new-run"),
        ("connections", "doctor"),
        ("discover", "@hostile.one"),
    ],
    ids="-".join,
)
def test_code_of_others_is_loaded_in_the_sandbox_only(desk, answers, words):
    done = desk(*words, "--json")
    assert "INT000" not in done.stdout
    assert json.loads(done.stdout)["ok"] or words[0] in ("connections", "discover"), done.stdout
    assert desk.imported() == []
