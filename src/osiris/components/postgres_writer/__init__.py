"""Writes a table of a PostgreSQL database."""
