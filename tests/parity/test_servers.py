"""With databases as source and target too, a run is the same everywhere; secrets are only in environment variables."""

import pytest
from tests.parity.cases import AFTER_ORDERS, READ, Case, lay_out, write
from tests.parity.test_parity import assert_same

FIELDS = ("host", "port", "database", "user", "password")


def connections(family):
    fields = ", ".join(f'{name}: "${{SHOP_{name.upper()}}}"' for name in FIELDS)
    return f"connections:\n  {family}:\n    shop: {{{fields}}}\n"


def case(family):
    connection = f'connection: "@{family}.shop"'
    load = f"component: {family}.writer, mode: write, {AFTER_ORDERS}"
    back = f"component: {family}.extractor, mode: read, needs: [load],"
    return Case(
        (
            READ,
            f"{{id: load, {load} config: {{{connection}, table: copies, write_mode: replace}}}}",
            f"{{id: back, {back} config: {{{connection}, table: source}}}}",
            write(needs="needs: [back],"),
        )
    )


@pytest.mark.long
@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_servers(run_everywhere, osiris, family, request):
    server = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[family])
    database = server.new_database()
    for statement in ("CREATE TABLE source (id int PRIMARY KEY, name text)", "INSERT INTO source VALUES (1, 'Ada')"):
        server.run(statement, database=database)
    fields = server.fields(database)
    env = {f"SHOP_{name.upper()}": str(fields[name]) for name in FIELDS if name in fields}
    env["SHOP_PASSWORD"] = env.get("SHOP_PASSWORD") or "unused"

    def prepare(folder):
        lay_out(folder)
        (folder / "osiris_connections.yaml").write_text(connections(family))

    def start(*words, **options):
        """Run as if for the first time: the ledger has the run id, wherever it ran."""
        for table in ("copies", "_osiris_ledger"):
            server.run(f"DROP TABLE IF EXISTS {table}", database=database)
        return osiris(*words, **options)

    env |= {"OSIRIS_RUN__BWRAP__NETWORK": "allow"}
    done = run_everywhere(family, case(family), env=env, prepare=prepare, start=start)
    assert [process.returncode for _, process in done.values()] == [0, 0, 0], done["e2b"][1].stderr
    assert_same(done)
