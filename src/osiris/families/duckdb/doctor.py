"""The doctor of the duckdb family: whether the file is there, is a database, and is free."""

from osiris.families.duckdb.database import DUCKDB

examine = DUCKDB.examine
