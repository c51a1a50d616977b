"""The way to a sandbox of E2B; the only file that knows its client, which is imported where a run needs it."""

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
"""What our sandboxes are told apart by."""

LIFE = 120
"""Seconds that a sandbox lives when nobody renews it."""

PLACE = "/home/user/osiris"
BARE = "base"
_ALL = "0.0.0.0/0"
_REQUEST = 30.0
_NOT_FOUND = 404
_NOT_OURS = (403, _NOT_FOUND)
_EARLY = 1.0
"""Seconds by which the clock of a sandbox may be ahead of ours."""

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
    """Return what every call of the client needs; fails with SBX021 without a key."""
    if not environ.get(KEY):
        fail("SBX021")
    names = {"domain": "E2B_DOMAIN", "api_url": "E2B_API_URL", "sandbox_url": "E2B_SANDBOX_URL"}
    given = {name: environ[variable] for name, variable in names.items() if environ.get(variable)}
    return {"api_key": environ[KEY], "request_timeout": _REQUEST, **given}


def mark_of(root: Path) -> dict[str, str]:
    """Return what the sandboxes of a project are told apart by; it names neither the machine nor the folder's path."""
    return {**_MARK, "project": hashlib.sha256(f"{socket.gethostname()}\0{root}".encode()).hexdigest()[:16]}


def typed_options(config: Config) -> str:
    """Return the options that chose a template, as they can be typed again, each behind a space."""
    settings = {option: config.explain(key)[0] for option, key in _TEMPLATE_OPTIONS.items()}
    typed = {option: str(found.written) for option, found in settings.items() if found.origin == "command line"}
    return "".join(f" {option} {shlex.quote(text)}" for option, text in typed.items())


def open_transport(config: Config, root: Path, environ: Mapping[str, str]) -> E2B:
    """Return the transport of a run; fails with SBX020 or SBX021."""
    if importlib.util.find_spec("e2b") is None:
        fail("SBX020", command=install_command("e2b"))
    threading.Thread(target=sdk, daemon=True).start()  # it takes a while to be there, and until then there is work
    install = bool(config.get("run.e2b.install_deps"))
    chosen = config.get("run.e2b.template")
    made = template_name(config.get("run.e2b.cpu"), config.get("run.e2b.memory"))
    template = str(chosen or (BARE if install else made))
    mark = {**mark_of(root), "folder": root.name}
    sandbox = E2B(options_of(environ), template, mark, config.get("run.e2b.timeout"), installs=install)
    sandbox.again, sandbox.longest = typed_options(config), str(config.explain("run.e2b.timeout")[0].written)
    return sandbox


class E2B:
    """One sandbox, with a mark; `life` is the longest that it may live, in seconds.

    `again` are the options that chose its template, each behind a space, and `longest` is how its life was written.
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
        """Make the sandbox, from which no other hosts can be reached; fails with SBX022 or SBX023.

        One that installs reaches everything: where it installs from is set in its template.
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
            timeout=self._left(),
            metadata=self.mark,
            lifecycle={"on_timeout": "kill"},
            **_network(None if installs else hosts),
            **self._options,
        )

    def keep(self) -> None:
        """Keep the sandbox as it is, in a snapshot, from which the next runs with its template and our lock begin."""
        with _translated():
            self._sandbox.create_snapshot(self._kept_name(), **{**self._options, "request_timeout": KEEPING})

    def _open_kept(self, hosts: Sequence[str] | None) -> bool:
        """Make the sandbox from what was kept; returns whether there is such a thing."""
        with suppress(Cut, Gone), _translated():
            kept = sdk().Sandbox.list_snapshots(name=self._kept_name(), limit=1, **self._options).next_items()
            for snapshot in kept:
                self._create(snapshot.snapshot_id, hosts, installs=False)
                return True
        return False

    def _kept_name(self) -> str:
        """Return the name of the snapshot for our lock on the template as it is now; raises as the client does.

        Builds of E2B's own templates are not told: of them the name counts.
        """
        if not self._name:
            build = _build_of(self._template, self._options)
            made = hashlib.sha256(f"{self._template}\0{build}".encode()).hexdigest()[:12]
            self._name = f"osiris-{own_version().replace('.', '-')}-{lock_digest()}-on-{made}"
        return self._name

    def check_life(self) -> None:
        """Fail with SBX029 if the sandbox may not live any longer."""
        if self._life and time.monotonic() > self._until - _EARLY:
            fail("SBX029", life=self.longest)

    def put(self, path: str, content: BinaryIO) -> None:
        """Write a file."""
        with _translated():
            self._sandbox.files.write(path, content)

    def get(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file; from an offset only text in ASCII, as events are."""
        if offset:
            yield from self.start(f"tail -c +{offset + 1} '{path}'").stream()
            return
        with _translated():
            yield from self._sandbox.files.read(path, format="stream")

    def start(self, command: str) -> Program:
        """Start a command, without the limit of time that the client sets."""
        with _translated():
            handle = self._sandbox.commands.run(command, background=True, stdin=True, timeout=0, retain_output=False)
        return Program(self._sandbox, handle)

    def renew(self) -> None:
        """Let the sandbox live on, but not longer than it may."""
        with _translated():
            self._sandbox.set_timeout(self._left())

    def close(self) -> None:
        """End the sandbox; one that cannot be reached ends by itself."""
        if self._sandbox is not None:
            with suppress(Cut, Gone), _translated():
                self._sandbox.kill()

    def _left(self) -> int:
        return max(1, math.ceil(min(LIFE, self._until - time.monotonic())))


def _build_of(template: str, options: Mapping[str, Any]) -> str:
    """Return the id of a template's newest build, or nothing if that is not told; raises as the client does."""
    client = sdk()
    name, _, tag = template.partition(":")
    try:
        tags = {found.tag: found.build_id for found in client.Template.get_tags(name, **options)}
    except client.SandboxException as error:
        if getattr(error, "status_code", None) not in _NOT_OURS:
            raise
        return ""
    return str(tags.get(tag or "default", ""))


def _network(hosts: Sequence[str] | None) -> dict[str, Any]:
    """Return the rules for reaching some hosts, or any: names count for the web, addresses for all else."""
    if hosts is None:
        return {"allow_internet_access": True}
    if not hosts:
        return {"allow_internet_access": False}
    known = [address for host in hosts for address in _addresses(host)]
    return {"network": {"allow_out": [*dict.fromkeys([*hosts, *known])], "deny_out": [_ALL]}}


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
        """Yield its output, after the first time from now on."""
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


def build_template(config: Config, environ: Mapping[str, str], tell: Callable[[str], None]) -> str:
    """Build the template of this version and its lock, unless it is there, and return its name.

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
            on_build_logs=lambda entry: tell(entry.message),
            **options,
        )
    return str(name)


def list_sandboxes(environ: Mapping[str, str], root: Path | None = None) -> list[dict[str, str]]:
    """Return our sandboxes that live, of one project or all: id, template, since when, folder and session.

    Those that an earlier version made name no folder (of the project) and no session: they are empty.
    Fails with SBX020, SBX021 or SBX022.
    """
    client, options = sdk(), options_of(environ)
    found = []
    with _refusing("list sandboxes"):
        pages = client.Sandbox.list(query=client.SandboxQuery(metadata=mark_of(root) if root else _MARK), **options)
        while pages.has_next:
            found += pages.next_items()
    return [_told(sandbox) for sandbox in found]


def _told(sandbox: Any) -> dict[str, str]:  # noqa: ANN401 - of the client
    mark = sandbox.metadata or {}
    return {
        "id": sandbox.sandbox_id,
        "template": sandbox.template_id,
        "started_at": sandbox.started_at.isoformat(timespec="seconds"),
        "folder": mark.get("folder", ""),
        "session": mark.get("session", ""),
    }


def kill_sandbox(environ: Mapping[str, str], number: str) -> bool:
    """End a sandbox by its id; returns whether it was there."""
    with _refusing("end a sandbox"):
        return bool(sdk().Sandbox.kill(number, **options_of(environ)))


def _addresses(host: str) -> list[str]:
    try:
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, socket.AF_INET)})
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
    """Fail with SBX022, and say what may help."""
    cause = error.__cause__
    if isinstance(cause, _of_the_network()):
        fail("SBX022", what="be reached", reason=error, hint="check the network, or E2B_API_URL")
    refused = isinstance(cause, sdk().AuthenticationException)
    fail("SBX022", what=what, reason=error, hint=f"check {KEY}" if refused else None)


def _of_the_network() -> tuple[type[Exception], ...]:
    """Return what the client lets through when nobody answers, or its address is none."""
    import httpx

    return (httpx.TransportError, httpx.InvalidURL)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise in our words what the client raises: Gone for what trying again does not help, else Cut."""
    client = sdk()
    final = (
        *(client.SandboxNotRunningException, client.NotFoundException, client.NotEnoughSpaceException),
        *(client.AuthenticationException, client.InvalidArgumentException, client.BuildException),
    )
    try:
        yield
    except final as error:
        raise Gone(_reason(error)) from error
    except (client.SandboxException, client.ServiceBusyException, OSError, *_of_the_network()) as error:
        raise Cut(_reason(error)) from error


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
