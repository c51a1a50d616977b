"""The Dockerfile's steps, executed without Docker: in bare roots of Debian, then used on a read-only one.

Docker is replaced as follows: the file is parsed here, `debian:SUITE-slim` is the `minbase` of that suite from its
mirror (the image also lacks manuals), bubblewrap creates the namespaces, and `setpriv` switches to the user without any
capability. Not tested: a build by Docker or BuildKit itself, its layers and its cache, and another architecture.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.e2e.test_dist import ROOT, built
from tests.parity.cases import FOREVER, READ, WRITE, Case, lay_out, sql

CERTIFICATES = Path(os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"))
APART = ("--proc", "/proc", "--dev", "/dev", "--unshare-pid", "--unshare-ipc", "--cap-add", "ALL", "--clearenv")
NOBODY = ("--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
USUAL = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def instructions():
    """Return the instructions of the Dockerfile, as pairs of a word and the rest."""
    text = "".join(line for line in (ROOT / "Dockerfile").read_text().splitlines(True) if not line.startswith("#"))
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_it_gives_no_rights_and_takes_nothing_unchecked():
    steps = instructions()
    last = steps[max(number for number, (word, _) in enumerate(steps) if word == "FROM") :]
    assert {word for word, _ in steps} == {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT"}
    users = [rest for word, rest in last if word == "USER"]
    assert len(users) == 1
    assert all(int(number) > 0 for number in users[0].split(":"))  # a number: Kubernetes then knows that it is not root
    assert [word for word, _ in last].index("USER") > max(n for n, (word, _) in enumerate(last) if word == "RUN")
    for command in (part for word, rest in steps if word == "RUN" for part in re.split("&&|;", rest)):
        assert not re.search(r"curl|wget|://|\$|`|sudo", command)
        if " install " in command and "pip" in command:
            assert "--require-hashes --only-binary :all:" in command or "--no-deps --no-index" in command
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    given = next(rest for word, rest in steps if word == "COPY").split()[:-1]
    assert ignored == ["*", *(f"!{name}" for name in given)]


class Stage:
    """The root of one FROM, and the settings for its further instructions."""

    def __init__(self, root):
        self.root, self.folder, self.user, self.entry = root, "/", "0:0", []
        self.environ = {"PATH": USUAL}

    def run(self, script):
        """Run a RUN instruction as root, with the network and the registry of this machine."""
        index = {name: os.environ[name] for name in ("PIP_INDEX_URL",) if name in os.environ}
        environ = self.environ | index | {"PIP_CERT": "/run/ca.crt", "DEBIAN_FRONTEND": "noninteractive"}
        sets = [word for pair in environ.items() for word in ("--setenv", *pair)]
        names = [word for name in ("resolv.conf", "hosts") for word in ("--ro-bind", f"/etc/{name}", f"/etc/{name}")]
        root = ["--bind", self.root, "/", *APART, *names, "--tmpfs", "/run", "--ro-bind", CERTIFICATES, "/run/ca.crt"]
        command = ["bwrap", *root, *sets, "--chdir", self.folder, "/bin/sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def copy(self, origin, words):
        """Copy as COPY does: files that match into the last word's folder, or a folder's content."""
        *names, target = words
        target = self.root / target.strip("/")
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            for path in origin.glob(name.strip("/")):
                subprocess.run(["cp", "-a", f"{path}/." if path.is_dir() else path, target], check=True)

    def command(self, project, *words, options=(), user=None):
        """Return the command that runs the entry point on a project, with a read-only root and without a network."""
        number, group = (user or self.user).split(":")
        sets = [word for pair in self.environ.items() for word in ("--setenv", *pair)]
        mounts = ["--ro-bind", self.root, "/", *APART, "--perms", "1777", "--tmpfs", "/tmp", "--bind", project]
        apart = [self.folder, "--unshare-net", "--unshare-uts", *sets, "--chdir", self.folder, *options]
        drop = ["/usr/bin/setpriv", "--reuid", number, "--regid", group, *NOBODY]
        return ["bwrap", *mounts, *apart, *drop, *self.entry, *words]


def build(folder, context):
    """Execute the Dockerfile, and return its last stage."""
    stages = {}
    for word, rest in instructions():
        match word:
            case "FROM":
                image, _, name = rest.partition(" AS ")
                suite = re.fullmatch(r"debian:(\w+)-slim", image)[1]
                stage = stages[name] = Stage(folder / (name or "last"))
                subprocess.run(["cp", "-a", bare(folder, suite), stage.root], check=True)
            case "RUN":
                stage.run(rest)
            case "COPY":
                other = re.match(r"--from=(\w+) ", rest)
                origin = stages[other[1]].root if other else context
                stage.copy(origin, shlex.split(rest)[1 if other else 0 :])
            case "ENV":
                stage.environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                stage.user = rest
            case "WORKDIR":
                stage.folder = rest
                (stage.root / rest.strip("/")).mkdir()
            case "ENTRYPOINT":
                stage.entry = json.loads(rest)
            case _:
                raise AssertionError(word)
    return stage


def bare(folder, suite):
    """Return a root of Debian with what every installation has, and nothing else."""
    root = folder / suite
    if not root.exists():
        assert shutil.which("mmdebstrap"), "sh tools/sandbox.sh installs mmdebstrap"
        command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", suite, root]
        subprocess.run([*command, "http://deb.debian.org/debian"], check=True, capture_output=True)
    return root


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    dist = built(folder / "checkout")
    patterns = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in dist.iterdir():
        if not any(fnmatch(f"dist/{path.name}", pattern) for pattern in patterns):
            path.unlink()
    folder.chmod(0o755)
    yield build(folder, dist.parent)
    shutil.rmtree(folder)


@pytest.fixture
def project(tmp_path):
    """A folder that belongs to the image's user."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def give(folder, user):
    number, group = map(int, user.split(":"))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, number, group)


@pytest.mark.long
@pytest.mark.parametrize("user", [None, "54321:54321"])
def test_the_image_runs_on_a_read_only_root(image, project, user):
    give(project, user or image.user)

    def osiris(*words, code=0):
        done = subprocess.run(image.command(project, *words, user=user), capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    assert osiris("--version").stdout == "osiris 0.1.0\n"
    data = json.loads(osiris("demo", "--json").stdout)["data"]
    assert (data["verify"], data["tampered"]) == (0, 4)
    owners = {path.stat().st_uid for path in project.rglob("*")}
    assert owners == {int((user or image.user).partition(":")[0])}
    osiris("-C", "osiris-demo", "logs", "html", "last")
    assert "SBX001" in osiris("-C", "osiris-demo", "run", "--last-compile", "--target", "bwrap", code=2).stderr


@pytest.mark.long
def test_the_image_has_no_writable_place_and_no_rights(image, project):
    give(project, image.user)
    entry, image.entry = image.entry, ["/bin/sh", "-c"]
    script = "id -u; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status; touch /x /opt/x /etc/x; touch /tmp/x x"
    done = subprocess.run(image.command(project, script), capture_output=True, text=True)
    image.entry = entry
    assert done.stdout.split()[0] == "10001"
    assert {*re.findall(r"Cap\w+:\s+(\w+)", done.stdout)} == {"0" * 16}
    assert re.search(r"NoNewPrivs:\s+1", done.stdout)
    assert done.stderr.count("Read-only file system") == 3
    assert [path.name for path in project.iterdir()] == ["x"]
    assert not list((image.root / "opt/osiris").rglob("pip")) + list((image.root / "var/lib/apt/lists").iterdir())


@pytest.mark.long
def test_the_first_process_of_a_container_ends_when_it_is_asked_to(image, project):
    """As `docker stop` does, with SIGTERM for process 1, which the kernel protects from signals without a handler."""
    lay_out(project)
    (project / "case.yaml").write_text(Case((READ, sql(FOREVER), WRITE)).text("case"))
    give(project, image.user)
    read, write = os.pipe()
    options = ("--as-pid-1", "--info-fd", str(write))
    words = image.command(project, "run", "case.yaml", "--verbose", options=options)
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=-3, text=True, pass_fds=[write]) as process:
        os.close(write)
        first = json.loads(os.read(read, 10_000))["child-pid"]
        os.close(read)
        while " step_start " not in (line := process.stderr.readline()):
            assert line
        os.kill(first, signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    (summary,) = project.glob("logs/*/run.json")
    assert json.loads(summary.read_text())["status"] == "cancelled"
