"""What people look at: plans as diagrams and as one static HTML page.

`plan` and `run` are what there is to see, `run_page` and `pages` the HTML of it, `drawing` graphs and charts,
`template` how pages are rendered; `openlineage` tells the same as events.
"""
