"""A stranger's package: components as somebody else would write them, well behaved and not."""
