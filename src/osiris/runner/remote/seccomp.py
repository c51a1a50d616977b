"""The seccomp filter of a sandboxed worker: a deny list of system calls, applied by the kernel.

It rejects calls that no driver needs and that sandbox escapes have used. Everything else is allowed, as engines use too
many calls to list. The filter is classic BPF, eight bytes per instruction.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass, field
from itertools import starmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Opcodes: load a word of the call; jump if equal, if greater or equal, if a bit is set; return."""

_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
"""Offsets of the call's number, architecture and arguments in `struct seccomp_data`."""

_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000
"""The bit that marks calls of the x32 ABI on x86-64."""

_NEW_NAMESPACES = 0x7E020080
"""The flags of clone(2) that create a namespace."""

_INTO_TERMINALS = (0x5412, 0x541C)
"""Requests of ioctl(2) that inject input into a terminal: TIOCSTI and TIOCLINUX."""

_INTERNET = (2, 10)
"""AF_INET and AF_INET6; Unix sockets (abstract ones too) and kernel sockets are rejected."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """The kernel's audit value of an architecture and its call numbers; `refused` are the calls to reject, by name."""

    audit: int
    clone: int
    clone3: int
    ioctl: int
    socket: int
    refused: Mapping[str, int] = field(default_factory=dict)


_NEWER = {
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "quotactl_fd": 443,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree_attr": 467,
    "pidfd_send_signal": 424,
}
"""Calls with the same number on all architectures."""

_X86_64 = {
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "personality": 135,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "unshare": 272,
    "setns": 308,
    "mknod": 133,
    "mknodat": 259,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "fanotify_init": 300,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "create_module": 174,
    "uselib": 134,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "reboot": 169,
    "swapon": 167,
    "swapoff": 168,
    "acct": 163,
    "quotactl": 179,
    "nfsservctl": 180,
    "sethostname": 170,
    "setdomainname": 171,
    "syslog": 103,
    "vhangup": 153,
    "iopl": 172,
    "ioperm": 173,
    "modify_ldt": 154,
    "lookup_dcookie": 212,
    "_sysctl": 156,
    "ustat": 136,
    "settimeofday": 164,
    "clock_settime": 227,
    "adjtimex": 159,
    "clock_adjtime": 305,
    "mbind": 237,
    "set_mempolicy": 238,
    "migrate_pages": 256,
    "move_pages": 279,
}
_ARM_64 = {
    "ptrace": 117,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "kcmp": 272,
    "personality": 92,
    "mount": 40,
    "umount2": 39,
    "pivot_root": 41,
    "chroot": 51,
    "unshare": 97,
    "setns": 268,
    "mknodat": 33,
    "name_to_handle_at": 264,
    "open_by_handle_at": 265,
    "fanotify_init": 262,
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
    "bpf": 280,
    "perf_event_open": 241,
    "userfaultfd": 282,
    "init_module": 105,
    "finit_module": 273,
    "delete_module": 106,
    "kexec_load": 104,
    "kexec_file_load": 294,
    "reboot": 142,
    "swapon": 224,
    "swapoff": 225,
    "acct": 89,
    "quotactl": 60,
    "nfsservctl": 42,
    "sethostname": 161,
    "setdomainname": 162,
    "syslog": 116,
    "vhangup": 58,
    "lookup_dcookie": 18,
    "settimeofday": 170,
    "clock_settime": 112,
    "adjtimex": 171,
    "clock_adjtime": 266,
    "mbind": 235,
    "set_mempolicy": 237,
    "migrate_pages": 238,
    "move_pages": 239,
}
_MACHINES = {
    "x86_64": _Machine(0xC000003E, clone=56, clone3=435, ioctl=16, socket=41, refused={**_NEWER, **_X86_64}),
    "aarch64": _Machine(0xC00000B7, clone=220, clone3=435, ioctl=29, socket=198, refused={**_NEWER, **_ARM_64}),
}

Instruction = tuple[int, int, int, int]


def filter_of(machine: str = platform.machine()) -> bytes | None:
    """Return the filter as bytes for the kernel; None for an unsupported architecture."""
    numbers = _MACHINES.get(machine)
    return None if numbers is None else b"".join(starmap(struct.Struct("HBBI").pack, _instructions(numbers)))


def _instructions(machine: _Machine) -> Iterator[Instruction]:
    yield _LOAD, 0, 0, _MACHINE
    yield _EQUAL, 1, 0, machine.audit
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    yield _ABOVE, 0, 1, _X32
    yield _RETURN, 0, 0, _error(errno.ENOSYS)
    for number in sorted(machine.refused.values()):
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _error(errno.EPERM)
    yield _EQUAL, 0, 1, machine.clone3  # its flags are in memory, out of reach of BPF; libc falls back to clone
    yield _RETURN, 0, 0, _error(errno.ENOSYS)
    yield from _argument_filter(machine.clone, 0, [(_ANY_BIT, _NEW_NAMESPACES, errno.EPERM)], 0)
    yield from _argument_filter(machine.ioctl, 1, [(_EQUAL, number, errno.EPERM) for number in _INTO_TERMINALS], 0)
    yield from _argument_filter(machine.socket, 0, [(_EQUAL, family, 0) for family in _INTERNET], errno.EAFNOSUPPORT)
    yield _RETURN, 0, 0, _ALLOW


def _argument_filter(call: int, argument: int, tests: list[tuple[int, int, int]], otherwise: int) -> list[Instruction]:
    """Return instructions that decide a call by the lower 32 bits of an argument; each test has its errno."""
    decided: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
    for test, value, error in tests:
        decided += [(test, 0, 1, value), (_RETURN, 0, 0, _error(error))]
    decided.append((_RETURN, 0, 0, _error(otherwise)))
    return [(_EQUAL, 0, len(decided), call), *decided]


def _error(number: int) -> int:
    return _ERROR | number if number else _ALLOW
