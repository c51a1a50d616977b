"""The postgres family: PostgreSQL."""
