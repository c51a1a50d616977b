"""Writes a CSV file."""
