"""How well words become pipelines: requests held as conversations, run, and graded by their rows."""
