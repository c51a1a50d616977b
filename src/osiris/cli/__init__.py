"""The command line: what people and scripts type, and everything they see."""

import sys

if sys.platform == "win32":
    sys.exit("Osiris runs on Linux and macOS; on Windows, use it in the Windows Subsystem for Linux (WSL)")
