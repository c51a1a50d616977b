"""Reads a table of a SQLite database."""
