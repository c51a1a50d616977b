"""The kinds of trials, with their tests; `--long` decides which parts of them run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of trial; `title` is shown on the page for tests that do not name what they tried."""

    name: str
    title: str
    tests: tuple[str, ...]


def _faults(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/faults/test_{name}.py" for name in names)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("bugs", "tests that a bug is one change of the code", ("tests/trust/test_seeded_bugs.py",)),
        Kind(
            "data",
            "tests of values from source to target",
            (
                "tests/e2e/test_differential.py",
                "tests/components/test_write_semantics.py",
                *(f"tests/property/test_{name}.py" for name in ("csv_roundtrip", "csv_comments", "json_roundtrip")),
                *(f"tests/property/test_{name}.py" for name in ("text_casts", "fused", "digest")),
            ),
        ),
        Kind(
            "identity",
            "tests of plans that were forged, and of plans that were not",
            (
                *(f"tests/property/test_{name}.py" for name in ("forged_plans", "plans_of_examples")),
                *(f"tests/e2e/test_{name}.py" for name in ("forged_runs", "plan_names", "plan_commands")),
            ),
        ),
        Kind("fixes", "pipelines with mistakes, after every fix", ("tests/property/test_fixes.py",)),
        Kind("sandbox", "tests of ways out of the sandbox", ("tests/e2e/test_escapes.py",)),
        Kind(
            "paths",
            "tests of ways to write and read files",
            ("tests/corpora/test_forbidden_paths.py", "tests/unit/test_path_policy.py", "tests/e2e/test_modes.py"),
        ),
        Kind(
            "secrets",
            "tests of secrets in everything that is written",
            (
                "tests/trust/test_planted_leaks.py",
                "tests/e2e/test_canaries.py",
                "tests/property/test_secret_scrub.py",
                "tests/browser/test_no_secret.py",
            ),
        ),
        Kind("fuzz", "tests of damaged and random inputs", ("tests/trust/fuzz", *_faults("stored"))),
        Kind(
            "points",
            "tests of fault points of files, folders, object stores, databases, REST, discovery and conversations",
            _faults("fault_loop"),
        ),
        Kind("kills", "tests of kills", _faults("kills", "embedded_kills")),
        Kind(
            "kills-stores",
            "tests of kills while folders and objects are written",
            _faults("folder_kills", "store_kills"),
        ),
        Kind("kills-servers", "tests of kills while servers are written", _faults("postgres_kills", "mysql_kills")),
        Kind("kills-rest", "tests of kills of other services", _faults("supabase_kills", "remote_kills", "chat_kills")),
        Kind("told", "tests of what follows a delivery", _faults("told", "corrected", "busy", "project_out_of_reach")),
        Kind("memory", "computations larger than memory", _faults("memory")),
        Kind(
            "faults",
            "tests of servers, networks, disks, signals, drift and damaged files",
            _faults("servers", "supabase", "disk_full", "signals", "drift", "exit_codes", "misbehaving", "retry"),
        ),
        Kind("scale", "sizes", ("tests/trust/test_scale.py",)),
    )
}
