"""The transport to E2B sandboxes; the only module that uses E2B's client, imported on demand."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import shlex
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from osiris.distribution import install_command, own_version
from osiris.errors import fail
from osiris.runner.remote.install import lock_digest, lock_file, template_name
from osiris.runner.transport import KEEPING, Cut, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType
    from typing import NoReturn

    from osiris.config import Config

KEY = "E2B_API_KEY"
_MARK = {"made-by": "osiris"}
"""Metadata that identifies our sandboxes."""

LIFE = 120
"""Seconds that a sandbox lives without renewal."""

PLACE = "/home/user/osiris"
BARE = "base"
_ALL = "0.0.0.0/0"
_REQUEST = 30.0
_NOT_FOUND = 404
_NOT_OURS = (403, _NOT_FOUND)
_EARLY = 1.0
"""Seconds by which a sandbox's clock may be ahead of ours."""

_PYTHON = "3.12"
_TEMPLATE_OPTIONS = {
    "--e2b-cpu": "run.e2b.cpu",
    "--e2b-mem": "run.e2b.memory",
    "--e2b-template": "run.e2b.template",
}


def sdk() -> ModuleType:
    """Return the client; fails with SBX020 if it is not installed."""
    try:
        import e2b
    except ImportError:
        fail("SBX020", command=install_command("e2b"))
    return e2b


def options_of(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of every client call; fails with SBX021 without a key."""
    if not environ.get(KEY):
        fail("SBX021")
    names = {"domain": "E2B_DOMAIN", "api_url": "E2B_API_URL", "sandbox_url": "E2B_SANDBOX_URL"}
    urls = {name: environ[variable] for name, variable in names.items() if environ.get(variable)}
    return {"api_key": environ[KEY], "request_timeout": _REQUEST, **urls}


def mark_of(root: Path) -> dict[str, str]:
    """Return the metadata that identifies a project's sandboxes: a hash, without machine name or path."""
    return {**_MARK, "project": hashlib.sha256(f"{socket.gethostname()}\0{root}".encode()).hexdigest()[:16]}


def typed_options(config: Config) -> str:
    """Return the command-line options that chose a template, ready to type, each preceded by a space."""
    settings = {option: config.explain(key)[0] for option, key in _TEMPLATE_OPTIONS.items()}
    typed = {option: str(setting.written) for option, setting in settings.items() if setting.origin == "command line"}
    return "".join(f" {option} {shlex.quote(text)}" for option, text in typed.items())


def open_transport(config: Config, root: Path, environ: Mapping[str, str]) -> E2B:
    """Return the transport of a run; fails with SBX020 or SBX021."""
    if importlib.util.find_spec("e2b") is None:
        fail("SBX020", command=install_command("e2b"))
    threading.Thread(target=sdk, daemon=True).start()  # importing takes a while
    install = bool(config.get("run.e2b.install_deps"))
    chosen = config.get("run.e2b.template")
    default = template_name(config.get("run.e2b.cpu"), config.get("run.e2b.memory"))
    template = str(chosen or (BARE if install else default))
    mark = {**mark_of(root), "folder": root.name}
    sandbox = E2B(options_of(environ), template, mark, config.get("run.e2b.timeout"), installs=install)
    sandbox.again, sandbox.longest = typed_options(config), str(config.explain("run.e2b.timeout")[0].written)
    return sandbox


class E2B:
    """One sandbox, with metadata `mark`; `life` is its maximum lifetime in seconds.

    `again` are the options that chose its template, each preceded by a space; `longest` is the lifetime as written.
    """

    name = "e2b"

    def __init__(
        self, options: Mapping[str, Any], template: str, mark: dict[str, str], life: float | None, *, installs: bool
    ) -> None:
        self.installs, self.mark = installs, mark
        self.again, self.longest = "", f"{life}s"
        self._options, self._template, self._life = options, template, life
        self._sandbox: Any = None
        self._name = ""
        self._until = math.inf

    def open(self, hosts: Sequence[str] | None) -> str:
        """Create the sandbox, which can reach only these hosts; fails with SBX022 or SBX023.

        One that installs packages can reach every host, as its package index is configured in its template.
        """
        self._until = time.monotonic() + (self._life or math.inf)
        if self.installs and self._open_kept(hosts):
            self.installs = False
            return PLACE
        try:
            with _translated():
                self._create(self._template, hosts, installs=self.installs)
                self._sandbox.files.make_dir(PLACE)
        except (Cut, Gone) as error:
            if getattr(error.__cause__, "status_code", None) == _NOT_FOUND:
                fail("SBX023", name=self._template, again=self.again)
            _refuse("make a sandbox", error)
        return PLACE

    def _create(self, template: str, hosts: Sequence[str] | None, *, installs: bool) -> None:
        self._sandbox = sdk().Sandbox.create(
            template=template,
            timeout=self._remaining(),
            metadata=self.mark,
            lifecycle={"on_timeout": "kill"},
            **_network(None if installs else hosts),
            **self._options,
        )

    def keep(self) -> None:
        """Save the sandbox as a snapshot, from which later runs with the same template and lock start."""
        with _translated():
            self._sandbox.create_snapshot(self._kept_name(), **{**self._options, "request_timeout": KEEPING})

    def _open_kept(self, hosts: Sequence[str] | None) -> bool:
        """Create the sandbox from a snapshot; returns whether there is one."""
        with suppress(Cut, Gone), _translated():
            snapshots = sdk().Sandbox.list_snapshots(name=self._kept_name(), limit=1, **self._options).next_items()
            for snapshot in snapshots:
                self._create(snapshot.snapshot_id, hosts, installs=False)
                return True
        return False

    def _kept_name(self) -> str:
        """Return the snapshot's name, from our version, our lock and the template's build; raises as the client does.

        E2B does not list builds of its own templates: for them, only the template's name counts.
        """
        if not self._name:
            build = _build_of(self._template, self._options)
            digest = hashlib.sha256(f"{self._template}\0{build}".encode()).hexdigest()[:12]
            self._name = f"osiris-{own_version().replace('.', '-')}-{lock_digest()}-on-{digest}"
        return self._name

    def check_life(self) -> None:
        """Fail with SBX029 if the sandbox's lifetime has ended."""
        if self._life and time.monotonic() > self._until - _EARLY:
            fail("SBX029", life=self.longest)

    def put(self, path: str, content: BinaryIO) -> None:
        """Write a file."""
        with _translated():
            self._sandbox.files.write(path, content)

    def get(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file; with an offset, the file must be ASCII, as events are."""
        if offset:
            yield from self.start(f"tail -c +{offset + 1} '{path}'").stream()
            return
        with _translated():
            yield from self._sandbox.files.read(path, format="stream")

    def start(self, command: str) -> Program:
        """Start a command without the client's time limit."""
        with _translated():
            handle = self._sandbox.commands.run(command, background=True, stdin=True, timeout=0, retain_output=False)
        return Program(self._sandbox, handle)

    def renew(self) -> None:
        """Extend the sandbox's life, within its maximum lifetime."""
        with _translated():
            self._sandbox.set_timeout(self._remaining())

    def close(self) -> None:
        """Kill the sandbox; an unreachable one times out by itself."""
        if self._sandbox is not None:
            with suppress(Cut, Gone), _translated():
                self._sandbox.kill()

    def _remaining(self) -> int:
        return max(1, math.ceil(min(LIFE, self._until - time.monotonic())))


def _build_of(template: str, options: Mapping[str, Any]) -> str:
    """Return the id of a template's newest build, or "" if E2B does not list it; raises as the client does."""
    client = sdk()
    name, _, tag = template.partition(":")
    try:
        tags = {entry.tag: entry.build_id for entry in client.Template.get_tags(name, **options)}
    except client.SandboxException as error:
        if getattr(error, "status_code", None) not in _NOT_OURS:
            raise
        return ""
    return str(tags.get(tag or "default", ""))


def _network(hosts: Sequence[str] | None) -> dict[str, Any]:
    """Return the network rules for these hosts, or for any: names apply to HTTP, addresses to everything else."""
    if hosts is None:
        return {"allow_internet_access": True}
    if not hosts:
        return {"allow_internet_access": False}
    addresses = [address for host in hosts for address in _addresses(host)]
    return {"network": {"allow_out": [*dict.fromkeys([*hosts, *addresses])], "deny_out": [_ALL]}}


class Program:
    """A command in a sandbox."""

    def __init__(self, sandbox: Any, handle: Any) -> None:  # noqa: ANN401 - of the client
        self._sandbox, self._handle = sandbox, handle
        self._pid = handle.pid
        self._fresh = True

    def send(self, data: bytes) -> None:
        """Write to its input."""
        with _translated():
            self._sandbox.commands.send_stdin(self._pid, data, request_timeout=_REQUEST)

    def end_input(self) -> None:
        """Close its input."""
        with _translated():
            self._sandbox.commands.close_stdin(self._pid, request_timeout=_REQUEST)

    def stream(self) -> Iterator[bytes]:
        """Yield its output; from the second call on, only new output."""
        with _translated():
            if not self._fresh:
                self._handle = self._sandbox.commands.connect(self._pid, timeout=0, retain_output=False)
            self._fresh = False
            for out, _err, _terminal in self._handle:
                if out:
                    yield out.encode()

    def signal(self) -> None:
        """Kill it."""
        with _translated():
            self._sandbox.commands.kill(self._pid, request_timeout=_REQUEST)


def build_template(config: Config, environ: Mapping[str, str], report: Callable[[str], None]) -> str:
    """Build the template of this version and lock, unless it exists, and return its name.

    Fails with SBX020, SBX021 or SBX022.
    """
    client, options = sdk(), options_of(environ)
    cpu, memory = config.get("run.e2b.cpu"), config.get("run.e2b.memory")
    name, lock = config.get("run.e2b.template") or template_name(cpu, memory), lock_file()
    install = "python -m venv /opt/osiris && /opt/osiris/bin/pip install --require-hashes --only-binary :all:"
    with _refusing("build a template"):
        if client.Template.exists(name, **options):
            return str(name)
        template = client.Template(file_context_path=str(lock.parent)).from_python_image(_PYTHON)
        template = template.copy(lock.name, "/opt/").run_cmd(f"{install} -r /opt/{lock.name}", user="root")
        client.Template.build(
            template,
            name,
            cpu_count=cpu,
            memory_mb=memory // 2**20,
            on_build_logs=lambda entry: report(entry.message),
            **options,
        )
    return str(name)


def list_sandboxes(environ: Mapping[str, str], root: Path | None = None) -> list[dict[str, str]]:
    """Return our running sandboxes, of one project or all: id, template, started_at, folder and session.

    The project's folder and the session are empty for sandboxes created by an earlier version. Fails with SBX020,
    SBX021 or SBX022.
    """
    client, options = sdk(), options_of(environ)
    sandboxes = []
    with _refusing("list sandboxes"):
        pages = client.Sandbox.list(query=client.SandboxQuery(metadata=mark_of(root) if root else _MARK), **options)
        while pages.has_next:
            sandboxes += pages.next_items()
    return [_sandbox_json(sandbox) for sandbox in sandboxes]


def _sandbox_json(sandbox: Any) -> dict[str, str]:  # noqa: ANN401 - of the client
    mark = sandbox.metadata or {}
    return {
        "id": sandbox.sandbox_id,
        "template": sandbox.template_id,
        "started_at": sandbox.started_at.isoformat(timespec="seconds"),
        "folder": mark.get("folder", ""),
        "session": mark.get("session", ""),
    }


def kill_sandbox(environ: Mapping[str, str], number: str) -> bool:
    """Kill a sandbox by its id; returns whether it existed."""
    with _refusing("end a sandbox"):
        return bool(sdk().Sandbox.kill(number, **options_of(environ)))


def _addresses(host: str) -> list[str]:
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, socket.AF_INET)})
    except OSError:
        return []


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    try:
        with _translated():
            yield
    except (Cut, Gone) as error:
        _refuse(what, error)


def _refuse(what: str, error: Cut | Gone) -> NoReturn:
    """Fail with SBX022 and a hint."""
    cause = error.__cause__
    if isinstance(cause, _network_errors()):
        fail("SBX022", what="be reached", reason=error, hint="check the network, or E2B_API_URL")
    refused = isinstance(cause, sdk().AuthenticationException)
    fail("SBX022", what=what, reason=error, hint=f"check {KEY}" if refused else None)


def _network_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that the client passes on for connection failures and invalid URLs."""
    import httpx

    return (httpx.TransportError, httpx.InvalidURL)


@contextmanager
def _translated() -> Iterator[None]:
    """Convert the client's exceptions: Gone where a retry cannot help, else Cut."""
    client = sdk()
    final = (
        *(client.SandboxNotRunningException, client.NotFoundException, client.NotEnoughSpaceException),
        *(client.AuthenticationException, client.InvalidArgumentException, client.BuildException),
    )
    try:
        yield
    except final as error:
        raise Gone(_reason(error)) from error
    except (client.SandboxException, client.ServiceBusyException, OSError, *_network_errors()) as error:
        raise Cut(_reason(error)) from error


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
