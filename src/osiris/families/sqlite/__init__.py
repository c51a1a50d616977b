"""The sqlite family: SQLite."""
