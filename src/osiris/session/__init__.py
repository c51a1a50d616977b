"""One attempt to run a pipeline, as a folder: what happened (events), how much (metrics), and the summary (run.json).

A session is alive while its `events.jsonl` is locked by the process that writes it, so that a killed one is known to be
lost whatever its files claim. Lines are appended in single writes; the summary is replaced as a whole and made durable.
"""
