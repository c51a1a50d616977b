"""`osiris mcp`: what agents may ask, over the Model Context Protocol.

The server (`server.py`) speaks the protocol and knows no secret. Each call is answered by a process of its own
(`call.py`), which opens the project, asks `osiris.api`, scrubs what comes out, and ends. So nothing that a component
prints, and no crash, reaches the protocol; and a call that is given up ends as a command does at Ctrl-C.
"""
