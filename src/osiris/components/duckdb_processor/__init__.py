"""Transforms rows with SQL."""
