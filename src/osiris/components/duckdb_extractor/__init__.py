"""Reads a table or a query of a DuckDB database."""
