"""The command line: what people and scripts type, and everything they see."""
