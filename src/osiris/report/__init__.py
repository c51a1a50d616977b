"""HTML pages and diagrams of plans and runs. `plan` and `run` are what there is to see, `run_page` and `pages` the HTML
of it, `drawing` graphs and charts, `template` how pages are rendered; `openlineage` tells the same as events.
"""
