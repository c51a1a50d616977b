"""Writes a table of a DuckDB database."""
