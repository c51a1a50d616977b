"""`osiris mcp`: tools for agents over the Model Context Protocol.

The server (`server.py`) implements the protocol and has no secrets. Each call runs in its own process (`call.py`),
which opens the project, uses `osiris.api`, scrubs the output, and exits. So neither output of components nor a crash
reaches the protocol, and a cancelled call ends like a command after Ctrl-C.
"""
