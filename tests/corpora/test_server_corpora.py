"""Texts for PostgreSQL and MySQL that must be rejected or accepted, and the effects of the accepted ones on real
servers.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from tests.corpora.servers import HERE, check, lines, place

from osiris.sql.safety.dialects import DIALECTS, load_allowed

SERVERS = ("postgres", "mysql")
# Of these a check may accept some: a limit ends them, the new text is harmless, or a read-only transaction stops them.
NOT_BY_TEXT = {"limits", "rewritten", "blind"}
# Honest, and refused all the same; each can be written in another way.
REFUSED = {
    "postgres": ("TABLESAMPLE", "SEARCH DEPTH FIRST", "IS NFC NORMALIZED"),
    "mysql": ("DEFAULT '1' ON EMPTY", "N'national'", "NAME_CONST", "VALUES (1, 'a'), (2, 'b')"),
}
MOVING = "variable_name NOT IN ('TIMESTAMP', 'RAND_SEED1', 'RAND_SEED2', 'ERROR_COUNT', 'WARNING_COUNT')"
STATE = {
    "postgres": (
        "SELECT relname, relkind, relnatts FROM pg_class WHERE relnamespace > 16000 OR relnamespace = 2200 ORDER BY 1",
        "SELECT proname FROM pg_proc WHERE oid > 16384 ORDER BY 1",
        "SELECT rolname FROM pg_roles ORDER BY 1",
        "SELECT oid FROM pg_largeobject_metadata ORDER BY 1",
        "SELECT last_value, is_called FROM order_numbers",
        "SELECT count(*), sum(id) FROM orders",
        "SELECT count(*) FROM touched",
        "SELECT name, setting FROM pg_settings ORDER BY 1",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
        "SELECT count(*) FROM pg_prepared_statements",
        "SELECT pg_listening_channels()",
    ),
    "mysql": (
        "SELECT table_name, table_rows FROM information_schema.tables WHERE table_schema = database() ORDER BY 1",
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema = database() ORDER BY 1",
        "SELECT next_not_cached_value FROM order_numbers",
        "SELECT count(*), sum(id) FROM orders",
        "SELECT count(*) FROM touched",
        "SELECT user, host FROM mysql.user ORDER BY 1, 2",
        f"SELECT variable_name, variable_value FROM information_schema.session_variables WHERE {MOVING} ORDER BY 1",
    ),
}


@pytest.fixture(scope="module", params=SERVERS)
def dialect(request):
    return request.param


@pytest.fixture(scope="module")
def made(dialect, request):
    """A database with the tables of the corpora and the objects that the attacks target."""
    server = request.getfixturevalue("postgres" if dialect == "postgres" else "mariadb")
    with place(dialect, server) as found:
        for name in ("tables", "attack_objects"):
            for statement in (HERE / f"{dialect}_{name}.sql").read_text("utf-8").split(";\n"):
                found.run(statement)
        yield found.learn()


@pytest.fixture(scope="module")
def catalogue(made, tmp_path_factory):
    file = tmp_path_factory.mktemp(made.dialect) / "catalogue.json"
    file.write_text(json.dumps(made.columns))
    return file


@pytest.fixture(scope="module")
def attacks(dialect, catalogue):
    entries = lines(f"{dialect}_attacks.jsonl")
    verdicts = check(dialect, [entry["sql"] for entry in entries])
    known = check(dialect, [entry["sql"] for entry in entries], catalogue)
    return [
        (entry, told if entry.get("needs") == "catalogue" else verdict)
        for entry, verdict, told in zip(entries, verdicts, known, strict=True)
    ]


@pytest.fixture(scope="module")
def queries(dialect):
    entries = lines(f"{dialect}_queries.jsonl")
    return list(zip(entries, check(dialect, [entry["sql"] for entry in entries]), strict=True))


def test_no_attack_is_accepted(attacks):
    assert len(attacks) >= 500
    assert len({entry["class"] for entry, _ in attacks}) > 10
    wrong = [
        f"{e['class']} {e['sql'][:200]!r} -> {v['canonical'][:300]!r}"
        for e, v in attacks
        if v["ok"] and e["class"] not in NOT_BY_TEXT
    ]
    assert not wrong, "\n".join(wrong)


def test_no_honest_query_is_refused(dialect, queries):
    assert len(queries) >= 120
    wrong = [f"{v['code']} {e['sql']}" for e, v in queries if not v["ok"]]
    assert [text for text in wrong if not any(part in text for part in REFUSED[dialect])] == []
    assert len(wrong) == len(REFUSED[dialect])


def test_honest_queries_pass_with_a_catalogue_too(dialect, queries, catalogue):
    """Knowing the columns rejects nothing that exists; some queries use tables that do not exist here."""
    accepted = [entry for entry, verdict in queries if verdict["ok"]]
    verdicts = check(dialect, [entry["sql"] for entry in accepted], catalogue)
    wrong = [entry["sql"] for entry, verdict in zip(accepted, verdicts, strict=True) if not verdict["ok"]]
    assert wrong == []


def test_what_is_accepted_is_its_own_canonical_text(dialect, attacks, queries):
    texts = [verdict["canonical"] for _, verdict in [*attacks, *queries] if verdict["ok"]]
    again = check(dialect, texts)
    assert [(text, found) for text, found in zip(texts, again, strict=True) if found["canonical"] != text] == []


def test_the_canonical_text_means_what_was_written(made, queries):
    """Both texts give the same columns and rows on the server itself."""
    wrong, answers = [], Counter()
    for entry, verdict in queries:
        if not verdict["ok"]:
            continue
        written, canonical = made.run(entry["sql"]), made.run(verdict["canonical"])
        answers[isinstance(written, str)] += 1
        if isinstance(written, str) or repr(written) != repr(canonical):
            wrong.append(f"{entry['sql']}\n  {verdict['canonical']!r}\n  written   {written}\n  canonical {canonical}")
    assert not wrong, "\n".join(wrong)
    assert answers[False] >= 120


def test_nothing_happens_when_an_accepted_text_runs(made, dialect, attacks, queries):
    """With no other protection, as a user with all privileges: no row, object, sequence, lock or setting changes."""
    classes = {"limits", "blind"}
    texts = [v["canonical"] for e, v in [*attacks, *queries] if v["ok"] and e.get("class") not in classes]
    before = [made.run(text) for text in STATE[dialect]]
    assert not [answer for answer in before if isinstance(answer, str)]
    for text in texts:
        made.run(text)
    assert [made.run(text) for text in STATE[dialect]] == before


SYNTAX = {"all", "any_value", "array", "coalesce", "greatest", "grouping", "least", "nullif", "row", "some"}
CLOCKS = {"current_time", "current_timestamp", "localtime", "localtimestamp"}


def test_every_function_of_postgres_exists_and_is_harmless(postgres):
    """Those of the list are the server's own, and volatile ones are listed as such."""
    allowed = load_allowed(DIALECTS["postgres"])
    with place("postgres", postgres) as found:
        listed = "SELECT proname, bool_or(provolatile = 'v') FROM pg_proc WHERE pronamespace = 11 GROUP BY 1"
        known = dict(found.run(listed)[1])
    assert (allowed.functions | allowed.tables) - known.keys() - SYNTAX - CLOCKS == set()
    assert {name for name in allowed.functions | allowed.tables if known.get(name)} <= allowed.volatile


ONLY_MYSQL = {
    "any_value", "bin_to_uuid", "grouping", "is_uuid", "json_storage_size", "regexp_like", "st_collect", "st_isvalid",
    "st_latitude", "st_longitude", "uuid_to_bin",
}  # fmt: skip


def test_every_function_of_mariadb_exists(mariadb):
    """No name of the list would call a stored function: the server has each, or MySQL alone has it."""
    allowed = load_allowed(DIALECTS["mysql"])
    with place("mysql", mariadb) as found:
        asked = {name: found.run(f"SELECT {name}(1, 1)") for name in sorted(allowed.functions)}
    unknown = {name for name, answer in asked.items() if isinstance(answer, str) and answer.startswith("(1305,")}
    assert unknown == ONLY_MYSQL
