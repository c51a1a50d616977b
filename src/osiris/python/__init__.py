"""Osiris from Python, for notebooks and scripts: what `import osiris` offers."""
