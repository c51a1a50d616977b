"""Run plans: the host (`run`, `describe`), the worker process it starts, and the protocol between them."""
