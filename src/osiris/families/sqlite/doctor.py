"""The doctor of the sqlite family: whether the file is there, is a database, and is free."""

from osiris.families.sqlite.database import SQLITE

examine = SQLITE.examine
