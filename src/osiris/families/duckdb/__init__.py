"""The duckdb family: DuckDB."""
