"""Starts the worker: `python -I -m osiris.runner.worker`."""

from osiris.runner.worker.main import main

main()
