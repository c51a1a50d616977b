"""From a validated pipeline to a manifest; `compile.py` is the page to read first."""
