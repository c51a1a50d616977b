"""Writes a JSON file."""
