"""The host of a run: decides what to run, follows the worker, and records the session."""
