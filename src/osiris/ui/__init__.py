"""`osiris ui`: local web pages over a project, rendered by a server on this machine.

`server` listens, `access` decides who may ask what, `app` has what all pages need, and `pages` lists the pages, each of
which is a module. Data comes from `osiris.api`; templates and style are shared with the reports.
"""
