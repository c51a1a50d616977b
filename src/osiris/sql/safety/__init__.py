"""What a SQL text may say: its tree, its grammar, and the lists of what may be called."""
