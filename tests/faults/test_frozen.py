"""A run that is frozen while another one delivers the same: when it continues, it overwrites and adds nothing."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from tests.faults import server_kills as kills
from tests.faults.test_mysql_kills import Target as MySQL
from tests.faults.test_postgres_kills import Target as PostgreSQL
from tests.patience import wait_until

ROWS = 3_000
DELIVERED = [
    ("postgres", "replace"),
    pytest.param("postgres", "upsert", marks=pytest.mark.long),
    ("mysql", "append"),
    pytest.param("mysql", "replace", marks=pytest.mark.long),
]
"""Modes in which all rows are staged in a file before the transaction begins."""


def family_of(host):
    """Return a host and its worker."""
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
    return [host.pid, *map(int, children)]


@pytest.mark.long
@pytest.mark.parametrize(("family", "mode"), DELIVERED)
def test_a_frozen_run_that_goes_on_after_another_one_delivered(request, desk, make_step, family, mode):
    """Both have the same run id, in projects that know nothing of each other."""
    server = request.getfixturevalue("mariadb" if family == "mysql" else "postgres")
    target = (MySQL if family == "mysql" else PostgreSQL)(server)
    key = {"primary_key": ["id"]} if mode == "upsert" else {}
    read = make_step("a", "numbers", rows=ROWS, batch=100, gate="gate")
    write = make_step("w", f"{family}.writer", "write", ["a"], table="t", write_mode=mode, **key)
    write = {**write, "connection": f"@{family}.target"}
    plan = desk.write_plan([read, write], {f"@{family}.target": target.fields})
    other = desk.project.root.with_name(desk.project.root.name + "-other")
    shutil.copytree(desk.project.root, other, symlinks=True)
    old = kills.start(desk, plan, "nightly")
    wait_until(lambda: (desk.project.root / "here-a").exists() or old.poll() is not None)
    assert old.poll() is None, old.stderr.read()
    frozen = family_of(old)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    for root in (desk.project.root, other):
        (root / "gate").touch()
    kills.ended_well(kills.start(desk, plan, "nightly", other))
    truth = [(number, f"n{number * number}") for number in range(ROWS)]
    assert sorted(target.ask("SELECT id, text FROM t")) == truth
    server.run("UPDATE t SET text = 'kept'", database=target.name)
    for pid in reversed(frozen):
        os.kill(pid, signal.SIGCONT)
    output, error = old.communicate(timeout=300)
    assert b"Traceback" not in error, error.decode()
    if old.returncode == 0:
        assert b'"already_delivered"' in output
    assert target.ask("SELECT COUNT(*), COUNT(DISTINCT id), MIN(text), MAX(text) FROM t") == [
        (ROWS, ROWS, "kept", "kept")
    ]
    assert target.ask("SELECT COUNT(*) FROM _osiris_ledger") == [(1,)]
    shutil.rmtree(other)
