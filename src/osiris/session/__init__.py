"""A session is the folder of one attempt to run a pipeline: its events, metrics, and summary (run.json).

Its process keeps `events.jsonl` locked, so a killed session is detected as lost, whatever its files say. Lines are
appended in single writes; the summary is replaced atomically and made durable.
"""
