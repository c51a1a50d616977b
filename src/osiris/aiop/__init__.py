"""The package of a run: what happened, why, and what to do, for a model or a person that knows nothing else of it."""
