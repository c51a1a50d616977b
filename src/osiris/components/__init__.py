"""The components that come with Osiris, each registered like a stranger's: one folder, one entry point."""
