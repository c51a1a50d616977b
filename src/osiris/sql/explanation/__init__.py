"""A query in plain words, and queries that count what it does with rows."""
