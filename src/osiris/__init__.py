"""Osiris compiles intent into deterministic, fingerprinted data pipelines."""
