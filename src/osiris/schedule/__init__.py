"""Runs pipelines when their schedules say so (`service.py`), and says what is due, late or failing (`status.py`)."""
