"""Writes a table of a MySQL or MariaDB database."""
