"""Every type of a database server, at every target: equal after the round trip, or rejected with column and reason."""

import re

import pytest
from tests.components.server_types import mysql, postgres
from tests.components.server_types.bench import Bench
from tests.components.server_types.matrix import SOURCES, matrix_of, rest_of
from tests.components.server_types.page import page
from tests.components.server_types.targets import PARQUET, SAME
from tests.components.server_types.trip import Columns, Lane, Trip
from tools.docs import DOCS, rendered

from osiris.registry import load_registry
from osiris.testing.trial import Trial

pytestmark = pytest.mark.long

REGISTRY = load_registry()
NAME = "reference/server-types.md"
PAGE = DOCS / NAME
FAMILIES = [source.family for source in SOURCES]


@pytest.fixture(scope="module")
def bench(tmp_path_factory, postgres, mariadb):
    with Bench(tmp_path_factory.mktemp("types"), postgres, mariadb).served() as made:
        yield made


@pytest.fixture(scope="module")
def matrices(bench):
    return {source.family: (source, matrix_of(source, bench)) for source in SOURCES}


@pytest.fixture(scope="module")
def over_rest(bench, matrices):
    return rest_of(*matrices["postgres"], bench)


def outcomes(matrices, family):
    """Yield the outcome of each sample at each target, with its type and the target's title."""
    source, matrix = matrices[family]
    for samples, found in ((source.types.SAMPLES, matrix.ordinary), (source.types.RARE, matrix.rare)):
        for title, each in found.items():
            for sample, outcome in zip(samples, each, strict=True):
                yield sample, title, outcome


@pytest.mark.parametrize("family", FAMILIES)
def test_no_value_becomes_another(matrices, family):
    wrong = {
        (family, sample.type, title): each.wrong for sample, title, each in outcomes(matrices, family) if each.wrong
    }
    assert wrong == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_ordinary_values_are_refused_before_anything_is_read(matrices, family):
    late = [
        (sample.type, title, each.told)
        for sample, title, each in outcomes(matrices, family)
        if each.code and not each.early and not sample.what and not each.wrong and title != SAME
    ]
    assert late == []
    assert {each.code for *_, each in outcomes(matrices, family) if each.early} == {"CMP012", "DAT029"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_table_that_is_there_is_refused_as_a_whole(matrices, family):
    refused = [each for each in matrices[family][1].ordinary[SAME] if each.code]
    assert {each.code for each in refused} == {"DAT029"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_value_that_a_target_cannot_hold_is_named(matrices, family):
    found = [each for sample, _, each in outcomes(matrices, family) if sample.what]
    refused = [each for each in found if each.code and not each.early and not each.wrong]
    assert refused
    assert {each.code for each in refused} <= {"DAT015", "DAT032"}
    assert [each.told for each in refused if not re.search(r"[Cc]olumn 'c\d+'", each.told)] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_value_that_cannot_be_read_is_named_with_its_row(matrices, family):
    source, matrix = matrices[family]
    for number, (sample, found) in enumerate(zip(source.types.UNREAD, matrix.unread, strict=True)):
        assert (found.code, found.early) == ("DAT031", False), (sample, found)
        assert found.told.startswith(f"column 'c{number}', row 2: "), sample
        assert found.hint


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_fails_as_its_extractor_does(matrices, bench, family):
    source, matrix = matrices[family]
    columns = Columns(family, "unread", source.types.UNREAD, {})
    trip = Trip(bench, columns, [Lane(PARQUET, ["c0"])])
    assert list(trip.outcomes().values()) == [matrix.unread[0]]
    assert not (trip.place.root / "output").exists() or list((trip.place.root / "output").iterdir()) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_types_without_an_exact_form_are_refused_all_at_once(matrices, family):
    source, matrix = matrices[family]
    for expected, found in zip(source.types.REFUSED, matrix.refused, strict=True):
        assert found, expected
        assert (found.code, found.early) == ("DAT006", True)
        assert found.told.endswith(f": {expected.reason}"), expected
        assert found.hint


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_said_to_do_instead_can_be_done(matrices, bench, tmp_path, family):
    source, matrix = matrices[family]
    for kind, found in zip(source.types.REFUSED, matrix.refused, strict=True):
        ways = re.findall(r"\w+\([`\"].*?\)(?= in a query| or ST_)", found.hint)
        assert ways, kind
        for way in ways:
            config = {"query": f"SELECT {way} AS instead FROM refused"}
            trial = Trial(REGISTRY, f"{family}.extractor", tmp_path, config, bench.connection(family))
            assert [column.name for column in trial.describe().schema] == ["instead"], kind


REST_READ = {"read": postgres.SAMPLES, "rare_read": postgres.RARE}
REST_WRITTEN = {"written": postgres.SAMPLES, "rare_written": postgres.RARE}


@pytest.mark.parametrize("name", [*REST_READ, *REST_WRITTEN])
def test_over_rest_no_value_becomes_another(over_rest, name):
    samples = {**REST_READ, **REST_WRITTEN}[name]
    found = zip(samples, getattr(over_rest, name), strict=True)
    assert {(sample.type, sample.what): each.wrong for sample, each in found if each.wrong} == {}


def test_over_rest_types_are_refused_before_anything_is_read(over_rest):
    for name in REST_READ:
        refused = [each for each in getattr(over_rest, name) if each.code]
        assert {(each.code, each.early) for each in refused} <= {("DAT006", True)}
        assert all(each.hint and re.search(r"column 'c\d+' has type", each.told) for each in refused)


def test_over_rest_what_a_table_does_not_take_is_named(over_rest):
    refused = [each for name in REST_WRITTEN for each in getattr(over_rest, name) if each.code]
    assert {each.code for each in refused} == {"CMP012", "DAT015", "DAT029"}
    assert [each.told for each in refused if not re.search(r"olumn 'c\d+'", each.told)] == []


def test_over_rest_a_value_that_cannot_be_read_is_named_with_its_row(over_rest):
    for number, (sample, found) in enumerate(zip(postgres.UNREAD, over_rest.unread, strict=True)):
        if sample.what == postgres.BEGINS_ELSEWHERE:  # JSON has no such arrays, so the lower bound is lost
            assert (found.code, bool(found.wrong)) == ("", True)
            continue
        assert found.code == "DAT031", (sample, found)
        assert found.told.startswith(f"column 'c{number}', row 2: "), sample
        assert found.hint


def test_every_type_of_postgres_is_tried(postgres_types):
    tried = {sample.type for sample in (*postgres.SAMPLES, *postgres.REFUSED)} | postgres.NO_COLUMNS
    assert postgres_types - tried == set()


@pytest.fixture
def postgres_types(request):
    """The names of all column types in the server's catalogue, except arrays."""
    server = request.getfixturevalue("postgres")
    query = """
        SELECT format_type(oid, NULL), typname FROM pg_type
        WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'"""
    with server.connect() as client:
        return {_plain(name) for name, _ in client.execute(query).fetchall()}


def _plain(name):
    """Return the name of a type in the samples."""
    shorter = {"bit varying": "varbit", "character varying": "varchar", "character": "char"}
    zones = {"time with": "timetz", "timestamp with": "timestamptz", "time without": "time"}
    zones |= {"timestamp without": "timestamp"}
    return shorter.get(name) or zones.get(name.removesuffix(" time zone"), name)


def test_every_type_of_mariadb_is_tried(mariadb):
    """The server's own manual lists the types."""
    query = """
        SELECT t.name FROM mysql.help_topic t JOIN mysql.help_category c USING (help_category_id)
        WHERE c.name = 'Data Types'"""
    with mariadb.connect() as client, client.cursor() as cursor:
        cursor.execute(query)
        told = {name.removesuffix(" Data Type") for (name,) in cursor.fetchall()}
    tried = {re.split(r"\W", sample.type)[0] for sample in (*mysql.SAMPLES, *mysql.REFUSED)}
    assert told - tried - mysql.NO_TYPES == set()


def test_the_page_is_what_became_of_them(matrices, over_rest, update_golden):
    text = rendered(NAME, page(matrices.values(), over_rest))
    if update_golden:
        PAGE.write_text(text, "utf-8")
    assert PAGE.read_text("utf-8") == text
