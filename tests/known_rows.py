"""Relations as tests define them: columns with their types, and keys without NULL."""

from osiris.sql.explanation.sources import Rows


def relation_rows(name, columns, keys=()):
    """Return the definition of a relation; `columns` are types by name."""
    folded = {column.lower(): kind for column, kind in columns.items()}
    whole = frozenset(frozenset(column.lower() for column in key) for key in keys)
    origins = {column.lower(): (name, column) for column in columns}
    return Rows(tuple(columns), whole, folded, origins, declared=True)
