"""How well words become pipelines: requests with gold outcomes, each held as a conversation and graded by its rows."""
