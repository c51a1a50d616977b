"""The maximum number of columns of a PostgreSQL table: written and read completely; one more gets a clear error."""

import pyarrow as pa
import pytest
from tests.faults.test_servers import Desk

from osiris.codes import CODES

MOST = 1600
PATIENT = {"connect_timeout": 60.0, "read_timeout": 60.0}


def rows(count):
    """Return rows with that many columns, with names of the maximum length and different values."""
    names = [f"{number:04}{'c' * 59}" for number in range(1, count)]
    values = {name: pa.array([number % 2 == 0, None, True]) for number, name in enumerate(names)}
    return pa.table({"id": [1, 2, 3], **values})


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_as_many_columns_as_postgresql_has(postgres, tmp_path, mode):
    desk, wide = Desk(postgres, "postgres", tmp_path), rows(MOST)
    assert desk.write(mode, wide, **PATIENT) == 3, desk.found
    assert desk.read(**PATIENT) == 3
    (read,) = desk.sql("SELECT row_to_json(t) FROM t WHERE id = 2")[0]
    assert (list(read), read) == (wide.column_names, wide.to_pylist()[1])
    count = " + ".join(f'count("{name}")' for name in wide.column_names)
    assert desk.sql(f"SELECT {count} FROM t") == [(2 * MOST + 1,)]


def test_more_columns_than_postgresql_has(postgres, tmp_path):
    desk = Desk(postgres, "postgres", tmp_path)
    code = desk.write("append", rows(MOST + 1), **PATIENT)
    assert (code, CODES[code].exit_code) == ("DRV013", 1)
    assert "tables can have at most 1600 columns" in desk.found.message
    assert desk.sql("SELECT COUNT(*) FROM pg_tables WHERE tablename = 't'") == [(0,)]
