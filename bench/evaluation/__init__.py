"""Evaluates how well words become pipelines: requests are held as conversations, run, and graded by their rows."""
