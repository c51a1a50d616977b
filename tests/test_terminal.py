"""A command that closes its terminal early is waited for, and keeps its exit code."""

import sys

import pexpect
import pytest
from tests.patience import SOON
from tests.terminal import read_until_closed

LINGERS = """
import os, time
print("said ü", flush=True)
input()
print("more", flush=True)
for number in range(3):
    os.close(number)
time.sleep(1)
os._exit(3)
"""


@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_the_end_is_awaited(encoding):
    process = pexpect.spawn(sys.executable, ["-c", LINGERS], encoding=encoding, echo=False, timeout=SOON)
    process.expect("said")
    process.sendline("")
    assert read_until_closed(process).split() == ["ü", "more"]
    assert (process.exitstatus, process.signalstatus) == (3, None)


def test_a_process_that_is_killed_has_ended_too():
    process = pexpect.spawn("/bin/cat")
    process.kill(9)
    read_until_closed(process)
    assert (process.exitstatus, process.signalstatus) == (None, 9)
