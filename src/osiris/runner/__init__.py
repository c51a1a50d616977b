"""Runs plans: the host (`run`, `describe`), the worker program that it starts, and what they say to each other."""
