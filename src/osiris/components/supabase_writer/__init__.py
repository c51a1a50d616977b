"""Writes a table of a Supabase project."""
