"""Mutated statements: those that are accepted run with all privileges and must change nothing.

There is no other protection: no read-only transaction, no limits of the engine. The answers contain no word of a file
or of the environment, no statement takes long, and the state of server, session and folder stays the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import threading
import time
from pathlib import Path

import duckdb
import pytest
from tests.corpora.mutations import CANARY, OBJECTS, SHAPES, Mutator
from tests.corpora.servers import HERE, check, lines, place

SLOW = 5.0
GROUP = 40
LIMITS = {"postgres": "SET statement_timeout = '6s'", "mysql": "SET SESSION max_statement_time = 6"}
COUNT = {"postgres": 1500, "mysql": 2000, "duckdb": 2000}
LONG = 40_000
# A limit ends it, the new text is harmless, or what it calls is in the server and not in the text.
NOT_BY_TEXT = {"limits", "rewritten", "blind"}
MOVING = (
    "'timestamp', 'rand_seed1', 'rand_seed2', 'error_count', 'warning_count', 'pseudo_thread_id', 'last_gtid',"
    " 'gtid_current_pos', 'gtid_binlog_pos', 'gtid_binlog_state'"
)
STATE = {
    "postgres": (
        "SELECT pg_snapshot_xmax(pg_current_snapshot())",
        *(
            f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {catalogue} AS t"
            for catalogue in (
                "pg_class",
                "pg_proc",
                "pg_authid",
                "pg_auth_members",
                "pg_namespace",
                "pg_type",
                "pg_operator",
                "pg_cast",
                "pg_trigger",
                "pg_extension",
                "pg_largeobject",
                "pg_largeobject_metadata",
                "pg_db_role_setting",
                "pg_description",
                "pg_seclabel",
                "pg_replication_slots",
                "pg_replication_origin",
                "pg_publication",
                "pg_foreign_server",
                "pg_collation",
                "pg_settings",
                "pg_policy",
                "pg_shdescription",
            )
        ),
        "SELECT name FROM pg_prepared_statements ORDER BY 1",
        "SELECT name FROM pg_cursors WHERE name <> '' ORDER BY 1",
        "SELECT last_value, is_called FROM order_numbers",
        "SELECT oid, datname, datacl FROM pg_database ORDER BY 1",
        "SELECT pg_listening_channels()",
        "SELECT pg_my_temp_schema()",
        "SELECT dblink_get_connections()",
        "SELECT locktype, mode, objid FROM pg_locks WHERE locktype = 'advisory' ORDER BY 1, 2, 3",
        "SELECT stats_reset FROM pg_stat_database ORDER BY datid",
        "SELECT stats_reset FROM pg_stat_bgwriter",
        "SELECT stats_reset FROM pg_stat_slru",
    ),
    "mysql": (
        "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 1, 2",
        "SELECT routine_schema, routine_name FROM information_schema.routines ORDER BY 1, 2",
        "SELECT trigger_name FROM information_schema.triggers ORDER BY 1",
        "SELECT event_name FROM information_schema.events ORDER BY 1",
        "SELECT plugin_name, plugin_status FROM information_schema.plugins ORDER BY 1",
        "SELECT host, user, priv FROM mysql.global_priv ORDER BY 1, 2",
        "SELECT next_not_cached_value, cycle_count FROM order_numbers",
        f"SHOW SESSION VARIABLES WHERE lower(variable_name) NOT IN ({MOVING})",
        f"SHOW GLOBAL VARIABLES WHERE lower(variable_name) NOT IN ({MOVING})",
        "SELECT @a, @b, @x",
        "SELECT is_used_lock('x'), is_used_lock('a'), is_used_lock('1'), is_used_lock('orders')",
        "SELECT @@in_transaction, @@last_insert_id, database(), current_role()",
    ),
    "duckdb": (
        "FROM duckdb_tables()",
        "FROM duckdb_views() WHERE NOT internal",
        "FROM duckdb_sequences()",
        "SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal",
        "SELECT type_name FROM duckdb_types() WHERE NOT internal",
        "FROM duckdb_schemas()",
        "FROM duckdb_databases()",
        "FROM duckdb_settings()",
        "FROM duckdb_variables()",
        "FROM duckdb_secrets()",
        "SELECT extension_name, loaded, installed FROM duckdb_extensions()",
        "FROM duckdb_prepared_statements()",
        "SELECT current_schema(), current_database()",
    ),
}
# What a server writes by itself: its logs, its journals, its pages at a checkpoint.
OWN_FILES = (
    "pg_wal",
    "pg_stat",
    "pg_xact",
    "pg_subtrans",
    "pg_logical",
    "log",
    "postmaster",
    "pgsql_tmp",
    "pg_internal",
)
OWN_FILES += ("ib_", "ibdata", "ibtmp", "undo", "aria_log", "ddl_", "multi-master", "pg_control", "#sql",
"pid")  # fmt: skip

# PostgreSQL's pages change at each checkpoint and autovacuum, every few minutes; queries check their content.
PAGES = re.compile(r"(base/\d+|global)/\d+(_\w+)?(\.\d+)?")


class Engine:
    """DuckDB without any limit, in its own folder: the equivalent of `Place` for a server."""

    dialect = "duckdb"

    def __init__(self, folder: Path) -> None:
        self.connection, self.columns = duckdb.connect(), {}
        self.connection.execute(f"SET file_search_path = '{folder}'")

    def run(self, text: str) -> object:
        """Return columns and rows, or the engine's error; a statement that exceeds twice the time limit is stopped."""
        watch = threading.Timer(2 * SLOW, self.connection.interrupt)
        watch.start()
        try:
            done = self.connection.execute(text)
            return [entry[0] for entry in done.description or ()], done.fetchall()
        except (duckdb.Error, OverflowError, ValueError) as error:  # the last two: no Python value is as large
            return str(error).splitlines()[0]
        finally:
            watch.cancel()

    def learn(self) -> Engine:
        """Record the columns of all tables."""
        for table, column in self.run("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal")[1]:
            self.columns.setdefault(table, []).append(column)
        return self


class Here:
    """A place with many objects that could be changed, its folder, and the names of all its functions."""

    def __init__(self, made, folder: Path) -> None:
        self.made, self.folder, self.dialect = made, folder, made.dialect
        for text in (HERE / f"{made.dialect}_tables.sql").read_text("utf-8").split(";\n"):
            if text.strip():
                made.run(text)
        for text in OBJECTS[made.dialect]:
            answer = made.run(text)
            assert not isinstance(answer, str), (text, answer)
        made.learn()
        self.functions, self.tables = self._functions(), self._tables()

    def _functions(self) -> list[str]:
        if self.dialect == "mysql":
            texts = (
                "SELECT function FROM information_schema.sql_functions",
                "SELECT word FROM information_schema.keywords",
            )
        else:
            texts = (
                "SELECT DISTINCT proname FROM pg_proc"
                if self.dialect == "postgres"
                else "SELECT DISTINCT function_name FROM duckdb_functions()",
            )
        found = {row[0] for text in texts for row in self.made.run(text)[1]}
        return [name for name in found if name.replace("_", "").isalnum()]

    def _tables(self) -> list[str]:
        kind = "lower(table_type) = 'base table'"
        schemas = "table_schema NOT IN ('pg_catalog', 'information_schema', 'mysql', 'sys', 'performance_schema')"
        here = f"{schemas} AND table_schema = database()" if self.dialect == "mysql" else schemas
        mark = "`" if self.dialect == "mysql" else '"'
        rows = self.made.run(f"SELECT table_schema, table_name FROM information_schema.tables WHERE {kind} AND {here}")
        return [f"{mark}{schema}{mark}.{mark}{name}{mark}" for schema, name in sorted(rows[1])]

    def state(self) -> dict[str, object]:
        """Return all that may not change, by the question asked."""
        found = {text: self.made.run(text) for text in STATE[self.dialect]}
        wrong = [answer for answer in found.values() if isinstance(answer, str)]
        assert not wrong, wrong
        for table in self.tables:
            found[table] = sorted(repr(row) for row in self.made.run(f"SELECT * FROM {table}")[1])
        return found | {"files": self._files()}

    def _files(self) -> list[tuple[str, int]]:
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        names = [(path, str(path.relative_to(self.folder))) for path in paths]
        return [
            (
                name,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.stat().st_size < 10_000 else path.stat().st_size,
            )
            for path, name in names
            if not any(own in name for own in OWN_FILES) and not PAGES.fullmatch(name)
        ]


@pytest.fixture(scope="module", params=("postgres", "mysql", "duckdb"))
def here(request, tmp_path_factory):
    dialect = request.param
    os.environ["OSIRIS_CANARY"] = CANARY
    if dialect == "duckdb":
        folder = tmp_path_factory.mktemp("scratch")
        (folder / "canary.csv").write_text(f"a,b\n{CANARY},2\n")
        yield Here(Engine(folder), folder)
        return
    server = request.getfixturevalue("postgres" if dialect == "postgres" else "mariadb")
    (server.folder / "data" / "canary.txt").write_text(CANARY)
    (server.folder / "data" / "canary.txt").chmod(0o644)
    with place(dialect, server) as made:
        if dialect == "postgres":
            made.connection.prepare_threshold = None
        made.run(LIMITS[dialect])
        yield Here(made, server.folder / "data")


@pytest.fixture(scope="module")
def catalogue(here, tmp_path_factory):
    file = tmp_path_factory.mktemp("known") / "catalogue.json"
    file.write_text(json.dumps(here.made.columns))
    return file


def accepted(dialect, texts, catalogue):
    """Return text and canonical text of those that pass; a canonical text must pass again, unchanged."""
    verdicts = check(dialect, texts, catalogue)
    found = [(text, verdict["canonical"]) for text, verdict in zip(texts, verdicts, strict=True) if verdict["ok"]]
    again = check(dialect, [canonical for _, canonical in found], catalogue)
    changed = [(pair, told) for pair, told in zip(found, again, strict=True) if told["canonical"] != pair[1]]
    assert changed == []
    return list({canonical: text for text, canonical in found}.items())


def run_all(here, pairs):
    """Run the texts in groups; returns the forbidden effects of any of them."""
    wrong, before = [], here.state()
    for start in range(0, len(pairs), GROUP):
        group = pairs[start : start + GROUP]
        for canonical, text in group:
            begun = time.monotonic()
            answer = here.made.run(canonical)
            if time.monotonic() - begun > SLOW and "RECURSIVE" not in canonical:
                wrong.append(f"slow: {text!r} -> {canonical!r}")
            if CANARY in repr(answer) and CANARY not in canonical:
                wrong.append(f"tells: {text!r} -> {canonical!r}")
        after = here.state()
        changed = [question for question in before if before[question] != after[question]]
        if changed:
            said = "\n    ".join(_difference(before[question], after[question]) for question in changed)
            wrong.append(f"changed {changed} by one of\n  {group!r}\n    {said}")
            before = after
    return wrong


def _difference(before, after):
    """Return the difference between two answers; of many lines only those that differ."""
    if isinstance(before, list) and isinstance(after, list):
        before, after = ([row for row in one if row not in other] for one, other in ((before, after), (after, before)))
    return f"{before!r:.300} -> {after!r:.300}"


def look(here, catalogue, texts):
    pairs = accepted(here.dialect, texts, catalogue)
    print(f"{here.dialect}: {len(texts)} statements, {len(pairs)} different ones accepted")
    assert len(pairs) > len(texts) / 100
    wrong = run_all(here, pairs)
    assert not wrong, "\n".join(wrong)


def mutator(here, seed):
    print(f"seed {seed}")
    return Mutator(here.dialect, seed, here.functions, str(here.folder))


@pytest.mark.long
def test_a_statement_that_is_accepted_changes_nothing(here, catalogue):
    look(here, catalogue, list(mutator(here, 7).statements(COUNT[here.dialect])))


@pytest.mark.long
def test_no_accepted_statement_of_many_changes_anything(here, catalogue):
    look(here, catalogue, list(mutator(here, random.SystemRandom().randrange(10**9)).statements(LONG)))


@pytest.mark.long
def test_no_function_of_a_server_that_is_accepted_changes_anything(here, catalogue):
    """Of those whose name passes in any place; all others cannot be called."""
    names = here.functions
    verdicts = [check(here.dialect, [shape.format(name, "1") for name in names]) for shape in (SHAPES[0], SHAPES[2])]
    passing = [name for name, *told in zip(names, *verdicts, strict=True) if any(v["code"] != "SQL005" for v in told)]
    print(f"{here.dialect}: {len(passing)} of {len(names)} functions")
    look(here, catalogue, list(Mutator(here.dialect, 1, passing, str(here.folder)).calls()))


@pytest.mark.long
def test_a_change_would_be_seen(here):
    """Proves that the test works: each of these changes is detected."""
    texts = {
        "postgres": ("SELECT pwn('x')", "SELECT nextval('order_numbers')", "SELECT pg_advisory_lock(7)",
            "SELECT setseed(0.5), lo_put(4244, 0, 'z')", "SET work_mem = '5MB'", "SELECT txid_current()"),
        "mysql": ("SELECT pwn('x')", "SELECT NEXTVAL(order_numbers)", "SELECT GET_LOCK('x', 0)", "SELECT 1 INTO @a",
            "SET sort_buffer_size = 70000", f"SELECT 1 INTO OUTFILE '{here.folder}/x79'", "SELECT LAST_INSERT_ID(5)"),
        "duckdb": ("SELECT nextval('order_numbers')", f"COPY orders TO '{here.folder}/x79.csv'", "SET VARIABLE x = 1",
            "ATTACH ':memory:' AS m", "SET threads = 1", "FROM 'canary.csv'"),
    }[here.dialect]  # fmt: skip
    assert [text for text in texts if not run_all(here, [(text, text)])] == []


@pytest.mark.parametrize("dialect", ["postgres", "mysql", "duckdb"])
def test_no_further_attack_is_accepted(dialect, tmp_path):
    """Those with "needs" are columns if the table is unknown."""
    known = tmp_path / "catalogue.json"
    known.write_text(json.dumps({"orders": ["id", "note", "status", "tags", "customer_id"]}))
    entries = [entry for entry in lines("more_attacks.jsonl") if entry["dialect"] == dialect]
    assert len(entries) >= 110
    plain = [entry for entry in entries if "needs" not in entry]
    needing = [entry for entry in entries if "needs" in entry]
    verdicts = check(dialect, [entry["sql"] for entry in plain])
    verdicts += check(dialect, [entry["sql"] for entry in needing], known)
    wrong = [
        f"{entry['why']}: {entry['sql'][:200]!r} -> {verdict['canonical'][:200]!r}"
        for entry, verdict in zip(plain + needing, verdicts, strict=True)
        if verdict["ok"] and entry.get("class") not in NOT_BY_TEXT
    ]
    assert not wrong, "\n".join(wrong)
