"""The worker program: what travels to where a run runs."""
