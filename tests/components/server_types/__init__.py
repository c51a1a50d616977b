"""The types of database servers as sources: hand-written values, the paths they take, and the results."""
