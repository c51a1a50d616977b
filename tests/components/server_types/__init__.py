"""The types of database servers as sources: their values by hand, the ways that they go, and what came of them."""
