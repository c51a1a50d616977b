"""The kinds of trial: each has the tests that try it; which of their parts run is a matter of `--long`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of trial; `title` stands on the page for tests that do not say themselves what they tried."""

    name: str
    title: str
    tests: tuple[str, ...]


def _faults(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/faults/test_{name}.py" for name in names)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("bugs", "bugs put into a copy of the code", ("tests/trust/test_seeded_bugs.py",)),
        Kind(
            "kills",
            "tests of kills",
            _faults(
                *("kills", "embedded_kills", "folder_kills", "store_kills", "postgres_kills", "mysql_kills"),
                *("supabase_kills", "remote_kills", "chat_kills"),
            ),
        ),
        Kind("memory", "computations larger than memory", _faults("memory")),
        Kind(
            "faults",
            "tests of servers, networks, disks, signals, drift and damaged files",
            _faults("servers", "supabase", "disk_full", "signals", "drift", "exit_codes", "misbehaving", "retry"),
        ),
    )
}
