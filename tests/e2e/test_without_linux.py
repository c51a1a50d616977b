"""What only Linux has is taken away: Osiris runs without it, as it should on macOS.

In a new environment each Python, the worker's too, begins as on macOS: `sys.platform` says so, what only Linux has is
gone from `os`, `select`, `signal`, `resource` and the C library, address space cannot be limited, and memory is counted
in bytes. There is no /proc. Not tried: macOS itself, its file system, and the builds of our libraries for it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from tests.parity.cases import FOREVER, READ, WRITE, Case, lay_out, sql
from tests.patience import SOON, wait_until

AS_ON_MACOS = '''
import ctypes, os, resource, select, signal, sys, sysconfig, types

sysconfig.get_config_vars()  # how this interpreter was built: on Linux
sys.platform = "darwin"
assert not os.path.exists("/proc/self")
GONE = """
    O_PATH O_TMPFILE O_DIRECT copy_file_range eventfd fdatasync getrandom getresuid memfd_create pidfd_open pipe2
    posix_fadvise posix_fallocate process_cpu_count sched_getaffinity sched_setaffinity setns setresuid splice unshare
"""
for module, names in {
    os: GONE,
    select: "epoll",
    signal: "pidfd_send_signal SIGRTMIN SIGRTMAX SIGPWR SIGSTKFLT SIGPOLL sigtimedwait sigwaitinfo",
    resource: "prlimit RLIMIT_OFILE RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

scutil = types.ModuleType("_scproxy")  # a module of the standard library that only macOS has
scutil._get_proxies, scutil._get_proxy_settings = dict, dict
sys.modules["_scproxy"] = scutil
sys.modules["epoll"] = sys.modules["inotify"] = None

limit, usage, library = resource.setrlimit, resource.getrusage, ctypes.CDLL

def setrlimit(kind, limits):
    if kind == resource.RLIMIT_AS:
        raise ValueError("current limit exceeds maximum limit")
    limit(kind, limits)

class CLibrary(library):
    def __getattr__(self, name):
        if name in ("prctl", "sync_file_range"):
            raise AttributeError(name)
        return super().__getattr__(name)

resource.setrlimit = setrlimit
resource.getrusage = lambda who: types.SimpleNamespace(ru_maxrss=usage(who).ru_maxrss * 1024)
ctypes.CDLL = CLibrary
'''


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    """The folder of commands of an environment whose Pythons begin so."""
    folder = tmp_path_factory.mktemp("other") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\nimport as_on_macos\n"
    )
    (site / "as_on_macos.py").write_text(AS_ON_MACOS)
    script = folder / "bin" / "osiris"
    script.write_text(f"#!{folder}/bin/python\nimport sys\nfrom osiris.cli.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return folder / "bin"


@pytest.fixture
def other(binary, tmp_path):
    """Return a function that runs a command in a project, without /proc."""
    lay_out(tmp_path / "project")
    started = []

    def start(*words, program="osiris", **environ):
        hidden = [
            shutil.which("bwrap"),
            "--dev-bind",
            "/",
            "/",
            "--tmpfs",
            "/proc",
            "--chdir",
            tmp_path / "project",
            "--",
        ]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ}
        command = [*hidden, binary / program, *words]
        started.append(subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True))
        return started[-1]

    def run(*words, code=0, **options):
        process = start(*words, **options)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        return out + err

    run.start, run.folder = start, tmp_path / "project"
    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=SOON)


def save(run, *steps):
    (run.folder / "case.yaml").write_text(Case(steps).text("case"))


def test_it_is_not_linux_there(other):
    script = """
import os, platform, resource, select, sys
assert (sys.platform, os.path.exists("/proc/self"), hasattr(os, "sched_getaffinity")) == ("darwin", False, False)
assert not hasattr(select, "epoll")
import osiris.files, osiris.runner.limits as limits
assert limits.usable_cores() == os.cpu_count()
assert limits.memory_in_use() == limits.peak_memory() > 10 << 20
limits.limit_process(1 << 40, 512)
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 512
assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
limits.dump_nothing()
assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
limits.end_with_parent()
print("as said")
"""
    assert other("-c", script, program="python") == "as said\n"


def test_the_demo_runs(other):
    data = json.loads(other("demo", "flights", "--json").partition("\n")[0])["data"]
    assert (data["verify"], data["tampered"]) == (0, 4)


def test_commands_run(other):
    save(other, READ, sql("SELECT * FROM orders ORDER BY id"), WRITE)
    other("validate", "case.yaml")
    other("compile", "case.yaml")
    other("preview", "case.yaml")
    other("run", "case.yaml")
    other("run", "case.yaml")
    other("verify", "previous", "last")
    other("discover", "data/orders.csv")
    other("logs", "html", "last")
    other("logs", "aiop", "last")
    assert (other.folder / "output/out.csv").is_file()


def test_a_database_file_is_written(other):
    (other.folder / "osiris_connections.yaml").write_text("connections: {sqlite: {app: {path: app.sqlite}}}\n")
    to = "{id: out, component: sqlite.writer, mode: write, config: {connection: '@sqlite.app', table: orders}}"
    save(other, READ, to)
    other("run", "case.yaml")
    other("run", "case.yaml", "--run-id", "again")
    other("connections", "doctor")


def test_memory_is_limited(other):
    """Without a limit of address space, the worker watches what it has."""
    query = "SELECT max(list_sum(range(300000000 + id))) AS x FROM orders"
    save(other, READ, sql(query, more="needs: [orders],"), WRITE)
    (other.folder / "osiris.yaml").write_text("run: {memory: 300MiB}\n")
    assert "RUN013" in other("run", "case.yaml", code=1)


def test_a_sandbox_needs_linux_and_says_so(other):
    save(other, READ, WRITE)
    said = other("run", "case.yaml", "--target", "bwrap", code=2, PATH=str(other.folder))
    assert "SBX001" in said
    assert "on Linux, install the package bubblewrap; elsewhere, remove --target bwrap" in said


def children(pid):
    """Return the ids of all processes below one."""
    own = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [each for child in own for each in children(child)]


def test_the_worker_ends_with_its_host(other):
    """Nothing signals that the host was killed; the end of the worker's input does."""
    save(other, READ, sql(FOREVER), WRITE)
    process = other.start("run", "case.yaml")
    wait_until(lambda: any("step_start" in each.read_text() for each in other.folder.glob("logs/*/events.jsonl")))
    host, *workers = children(process.pid)
    assert workers
    os.kill(host, signal.SIGKILL)
    process.communicate(timeout=60)
    until = time.monotonic() + SOON
    while any(Path(f"/proc/{each}").exists() for each in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [each for each in workers if Path(f"/proc/{each}").exists()]
    other("logs", "list")


def test_one_run_at_a_time(other):
    save(other, READ, sql(FOREVER), WRITE)
    process = other.start("run", "case.yaml")
    wait_until(lambda: any("step_start" in each.read_text() for each in other.folder.glob("logs/*/events.jsonl")))
    assert "RUN" in other("run", "case.yaml", "--wait", "0s", code=75)
    os.kill(children(process.pid)[0], signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_windows_is_refused_with_a_sentence():
    script = "import sys; sys.platform = 'win32'; import osiris.cli.main"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Osiris runs on Linux and macOS; on Windows, use it in the Windows Subsystem for Linux (WSL)\n"
    )
