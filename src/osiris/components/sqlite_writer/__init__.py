"""Writes a table of a SQLite database."""
