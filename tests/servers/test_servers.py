"""The servers that tests start: their users, and that they end with the process that started them."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.patience import SOON
from tests.servers import start_mariadb

PROGRAM = """
import json, sys, time
from tests.servers import start_mariadb, start_postgres
with {start}() as server:
    print(json.dumps([server.port, str(server.folder)]), flush=True)
    time.sleep(600)
"""


def test_they_belong_to_an_unprivileged_user(postgres, mariadb):
    expected = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    assert [server.folder.owner() for server in (postgres, mariadb)] == [expected, expected]


def test_a_reader_reads_what_the_owner_makes_and_no_more(postgres, mariadb):
    for server, refused in ((postgres, "permission denied"), (mariadb, "denied")):
        database = server.new_database()
        server.run("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)", database=database)
        with server.connect(database, reader=True) as client, client.cursor() as cursor:
            cursor.execute("SELECT a FROM t")
            assert list(cursor.fetchall()) == [(1,)]
            with pytest.raises(Exception, match=refused):
                cursor.execute("INSERT INTO t VALUES (2)")


def test_a_server_that_starts_leaves_the_temporary_tables_of_another(mariadb):
    with mariadb.connect() as client, client.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE kept (a int) ENGINE=Aria")
        cursor.execute("INSERT INTO kept VALUES (1)")
        with start_mariadb():
            cursor.execute("SELECT a FROM kept")
            assert list(cursor.fetchall()) == [(1,)]
        cursor.execute("DROP TABLE kept")


@pytest.mark.parametrize("start", ["start_postgres", "start_mariadb"])
def test_they_end_with_the_tests_even_if_those_are_killed(start):
    root = Path(__file__).parents[2]
    tests = subprocess.Popen([sys.executable, "-c", PROGRAM.format(start=start)], cwd=root, stdout=subprocess.PIPE)
    with tests:
        port, folder = json.loads(tests.stdout.readline())
        tests.send_signal(signal.SIGKILL)
    until = time.monotonic() + SOON
    while Path(folder).exists() or _answers(port):
        assert time.monotonic() < until
        time.sleep(0.05)


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
