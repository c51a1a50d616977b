"""Reads a table, a view or a query of a MySQL or MariaDB database."""
