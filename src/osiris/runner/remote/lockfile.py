"""The packages that a worker needs elsewhere, each with the hashes of its files, and the template that has them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from osiris.distribution import own_version


def lock_file() -> Path:
    """Return the lock: requirements with hashes, as pip reads them; `tools/lock.py` writes it."""
    return Path(__file__).with_name("sandbox.lock")


def lock_digest() -> str:
    """Return what tells this lock from others."""
    return hashlib.sha256(lock_file().read_bytes()).hexdigest()[:8]


def template_name(cpu: int, memory: int) -> str:
    """Return the name of the template of this version and lock, for so many processors and bytes of memory."""
    return f"osiris-{own_version().replace('.', '-')}-{lock_digest()}-{cpu}x{memory // 2**20}"
