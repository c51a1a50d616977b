"""Notifications: what is reported of a run (`message`), and how it is sent (`channels`). They know of no project."""
