"""Ctrl-C ends any command with 130 and SIGTERM with 143, and never with a traceback."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.patience import SOON


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_it_waits_for_input(tmp_path, sent, code):
    command = [str(Path(sys.executable).parent / "osiris"), "sql", "check", "--dialect", "duckdb", "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    status = Path(f"/proc/{process.pid}/wchan")
    deadline = time.monotonic() + SOON
    while "pipe" not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sent)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert "Traceback" not in err
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["PRJ012"]
