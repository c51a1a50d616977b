"""Another author's package with components, well behaved and not."""
