"""Reads a table, a view or a query of a Supabase project."""
