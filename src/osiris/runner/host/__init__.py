"""The host of a run: decides what runs, follows the worker, and records the session."""
