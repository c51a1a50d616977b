"""The command that starts a sandbox's first process: in its own namespaces if the machine supports them."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

AGENT = Path(__file__).with_name("agent.py")
HOME = "/home/user"
HOSTNAME = "e2b.local"
_AS_USER = ("--unshare-user", "--uid", "1000", "--gid", "1000")
_APART = ("--unshare-pid", "--unshare-uts", "--unshare-ipc", "--unshare-cgroup-try", "--as-pid-1", "--die-with-parent")
_TRIAL = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true")
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_CONFIGURATION = (
    *("alternatives", "ssl", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "profile"),
    *("profile.d", "resolv.conf", "nsswitch.conf", "hosts", "services", "protocols", "mime.types"),
)
_PASSWD = "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n"
_GROUP = "root:x:0:\nuser:x:1000:\n"


@functools.cache
def namespaces() -> tuple[str, ...] | None:
    """Return the options with which bubblewrap works on this machine; None if it does not work or is not installed."""
    if not shutil.which("bwrap"):
        return None
    for identity in (_AS_USER, ()):
        options = (*identity, *_APART)
        if not subprocess.run(["bwrap", *options, *_TRIAL], capture_output=True).returncode:
            return options
    return None


def make_tree(tree: Path) -> None:
    """Create an empty root with a home, and with the system's folders as mount points."""
    for name in ("home/user", "root", "tmp", "var/tmp", "opt", "run", "etc", "usr", "proc", "dev"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (tree / name).chmod(0o1777)
    (tree / "etc/passwd").write_text(_PASSWD)
    (tree / "etc/group").write_text(_GROUP)


def command(tree: Path, descriptor: int, binds: Iterable[Path], *, isolated: bool, network: bool) -> list[str]:
    """Return the command that starts the agent for a tree. `binds`: folders of the host that are visible, read-only."""
    python = Path(sys.executable).resolve()
    if not isolated:
        return [str(python), "-I", "-S", str(AGENT), str(descriptor), HOME, str(tree)]
    options = ["bwrap", *(namespaces() or ()), "--bind", str(tree), "/", "--hostname", HOSTNAME]
    options += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        options += _system_folder(name, tree)
    for name in _CONFIGURATION:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for folder in dict.fromkeys([*binds, Path(sys.base_prefix)]):
        options += [] if folder.is_relative_to("/usr") else ["--ro-bind", str(folder), str(folder)]
    options += ["--ro-bind", str(AGENT), "/run/agent.py", *(() if network else ("--unshare-net",))]
    options += ["--clearenv", "--chdir", "/", "--new-session", "--", str(python)]
    return [*options, "-I", "-S", "/run/agent.py", str(descriptor), HOME]


def _system_folder(name: str, tree: Path) -> list[str]:
    """`/bin` and the like: a link into /usr where the host has it so, else a mount."""
    host = Path("/", name)
    if not host.is_symlink():
        return ["--ro-bind", str(host), str(host)] if host.is_dir() else []
    if not (tree / name).is_symlink():
        (tree / name).symlink_to(host.readlink())
    return []
