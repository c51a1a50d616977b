"""Files as sources and targets, on this machine or in an object store."""
