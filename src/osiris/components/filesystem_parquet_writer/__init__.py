"""Writes a Parquet file."""
