"""OML: from text to a validated pipeline."""
