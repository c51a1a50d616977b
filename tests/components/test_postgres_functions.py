"""Functions of other users are never called instead of the server's own; those that a connection allows are."""

from collections.abc import Callable

import pytest

from osiris.components.postgres_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.secret import Secret

OVERLOADS = [
    # a function or operator that fits better than the server's own, and a query that calls it
    ("FUNCTION {}.length(varchar) RETURNS int", "SELECT length(name) AS v FROM people"),
    ("FUNCTION {}.upper(varchar) RETURNS text", "SELECT upper(name) AS v FROM people"),
    ("FUNCTION {}.round(integer) RETURNS int", "SELECT round(n) AS v FROM people"),
    ("FUNCTION {}.concat(varchar, varchar) RETURNS text", "SELECT concat(name, name) AS v FROM people"),
    ("FUNCTION {}.coalesced(varchar) RETURNS text", "SELECT coalesce(name, 'x') AS v FROM people"),
    ("FUNCTION {}.plus(integer, bigint) RETURNS bigint", "SELECT n + 1::bigint AS v FROM people"),
    ("FUNCTION {}.same(varchar, varchar) RETURNS boolean", "SELECT count(*) AS v FROM people WHERE name = name"),
]
OPERATORS = {"plus": ("+", "integer", "bigint"), "same": ("=", "varchar", "varchar")}
BODIES = {"int": "-1", "bigint": "-1::bigint", "text": "'stolen'::text", "boolean": "false"}


@pytest.fixture
def database(postgres):
    name = postgres.new_database()
    postgres.run(
        "CREATE TABLE public.people (name varchar(20), n integer)",
        "INSERT INTO public.people VALUES ('Ann', 1), ('Bo', 2)",
        "GRANT SELECT ON public.people TO PUBLIC",
        database=name,
    )
    return name


@pytest.fixture
def read(postgres, database, tmp_path) -> Callable:
    """`read(query, functions=[…])` returns the rows of a query, read with a read-only role."""

    def call(query: str | None = None, table: str | None = None, schema: str | None = None, **fields):
        given = {**postgres.fields(database, reader=True), **fields}
        given = {name: Secret(value) if name == "password" else value for name, value in given.items()}
        context = StepContext("load", tmp_path, tmp_path, tmp_path, connection=given)
        config = Config(query=query, table=table, schema=schema)
        described = Driver().describe(config, context)
        return Driver().read(config, described.schema, context).reader().read_all().to_pylist()

    return call


def overload(schema: str, head: str) -> list[str]:
    head = head.format(schema)
    made = [f"CREATE {head} LANGUAGE sql IMMUTABLE AS $$ SELECT {BODIES[head.rpartition(' ')[2]]} $$"]
    name = head.partition("(")[0].rpartition(".")[2]
    if name in OPERATORS:
        sign, left, right = OPERATORS[name]
        made.append(
            f"CREATE OPERATOR {schema}.{sign} (FUNCTION = {schema}.{name}, LEFTARG = {left}, RIGHTARG = {right})"
        )
    return made


def refusal(call, *args, **named) -> list[str]:
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return [found.code for found in caught.value.diagnostics]


@pytest.mark.parametrize(("head", "query"), OVERLOADS)
def test_an_overload_is_never_called(postgres, database, read, head, query):
    """Whoever may create functions in the schema of the tables cannot change the result."""
    before = read(query)
    postgres.run("GRANT CREATE ON SCHEMA public TO PUBLIC", *overload("public", head), database=database)
    assert read(query) == before


def test_a_better_fit_would_have_been_called(postgres, database):
    """The server itself calls it if the schema is searched: without the protection, the tests above would fail."""
    postgres.run(*overload("public", OVERLOADS[0][0]), database=database)
    with postgres.connect(database) as connection:
        connection.execute("SET search_path = public")
        assert connection.execute("SELECT DISTINCT length(name) FROM people").fetchall() == [(-1,)]


def test_names_of_a_ctes_are_not_qualified(read):
    query = """WITH people AS (SELECT name FROM people WHERE n = 1), x AS (SELECT * FROM people)
        SELECT people.name, (SELECT max(y.n) FROM public.people AS y) AS most
        FROM people JOIN x ON x.name = people.name"""
    assert read(query) == [{"name": "Ann", "most": 2}]


def test_a_table_of_another_schema_keeps_its_columns(postgres, database, read):
    postgres.run(
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.people AS SELECT 9 AS n",
        "GRANT USAGE ON SCHEMA sales TO PUBLIC",
        "GRANT SELECT ON sales.people TO PUBLIC",
        database=database,
    )
    assert read("SELECT people.n FROM people", schema="sales") == [{"n": 9}]
    assert read("SELECT sales.people.n FROM sales.people") == [{"n": 9}]


def test_a_function_of_the_user_is_called_where_the_connection_allows_it(postgres, database, read):
    postgres.run(
        "CREATE SCHEMA tools",
        "CREATE FUNCTION tools.twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 2 * $1 $$",
        "GRANT USAGE ON SCHEMA tools TO PUBLIC",
        database=database,
    )
    query = "SELECT twice(n) AS v FROM people ORDER BY 1"
    assert refusal(read, query) == ["SQL005"]
    assert read(query, functions=["tools.twice"]) == [{"v": 2}, {"v": 4}]
    assert refusal(read, "SELECT v FROM twice(1) AS t(v)", functions=["tools.twice"]) == ["SQL005"]
    assert refusal(read, "SELECT length(name) AS v FROM people", functions=["tools.length"]) == ["SQL032"]


def test_an_allowed_function_cannot_write(postgres, database, read):
    postgres.run(
        """CREATE FUNCTION public.note() RETURNS integer LANGUAGE sql SECURITY DEFINER
            AS $$ INSERT INTO people VALUES ('Eve', 3) RETURNING n $$""",
        database=database,
    )
    assert refusal(read, "SELECT note() AS v", functions=["public.note"]) != []
    assert len(read("SELECT n FROM people")) == 2


def test_a_function_of_an_extension(postgres, database, read):
    postgres.run("CREATE SCHEMA extensions", "CREATE EXTENSION unaccent SCHEMA extensions", database=database)
    postgres.run("GRANT USAGE ON SCHEMA extensions TO PUBLIC", database=database)
    query = "SELECT unaccent('Žluť') AS v"
    assert read(query, functions=["extensions.unaccent"]) == [{"v": "Zlut"}]


@pytest.mark.parametrize("home", ["public", "extensions"])
def test_a_type_of_an_extension_keeps_its_operators(postgres, database, read, home):
    """`=` of citext ignores case. If its operators cannot be trusted, the query is rejected, never changed."""
    postgres.run(
        f"CREATE SCHEMA IF NOT EXISTS {home}",
        f"CREATE EXTENSION citext SCHEMA {home}",
        f"GRANT USAGE ON SCHEMA {home} TO PUBLIC",
        f"CREATE TABLE public.users (mail {home}.citext)",
        "INSERT INTO public.users VALUES ('A@x'), ('b@x')",
        "GRANT SELECT ON public.users TO PUBLIC",
        database=database,
    )
    query = "SELECT count(*) AS v FROM users WHERE mail = 'a@X'"
    assert read(query) == [{"v": 1}]
    postgres.run(f"GRANT CREATE ON SCHEMA {home} TO PUBLIC", database=database)
    assert refusal(read, query) == ["CON066"]
    assert read(query, trusted_schemas=[home]) == [{"v": 1}]
    assert read(table="users") == [{"mail": "A@x"}, {"mail": "b@x"}]


@pytest.mark.parametrize("schema", ["auth", "vault", "storage"])
def test_schemas_kept_by_supabase_are_named_or_refused(postgres, database, read, schema):
    postgres.run(
        f"CREATE SCHEMA {schema}",
        f"CREATE TABLE {schema}.secrets AS SELECT 'x' AS v",
        f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC",
        f"GRANT SELECT ON {schema}.secrets TO PUBLIC",
        database=database,
    )
    query = f"SELECT v FROM {schema}.secrets"
    assert read(query) == [{"v": "x"}], "a schema of that name in another database is like any"
    postgres.run(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_admin') "
        "THEN CREATE ROLE supabase_admin; END IF; END $$",
        database=database,
    )
    try:
        assert refusal(read, query) == ["CON065"]
        assert refusal(read, table="secrets", schema=schema) == ["CON065"]
        assert read(query, schemas=[schema]) == [{"v": "x"}]
        assert read(table="secrets", schema=schema, schemas=[schema]) == [{"v": "x"}]
    finally:
        postgres.run("DROP ROLE supabase_admin", database=database)
