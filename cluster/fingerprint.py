"""Which code this is: a cluster that runs other code is not used."""

import hashlib
import sys
from pathlib import Path

from .. import __version__

_ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = ("protocols", "actors", "supervisors", "cluster")


def fingerprint() -> str:
    """A short hash of the interpreter, the version and the state of each of our source files (size and time).

    Reading the times of some hundred files takes 2 ms; a developer's edit makes the warm cluster start anew.
    """
    parts = [sys.executable, sys.version, __version__]
    for folder in _FOLDERS:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            stat = path.stat()
            parts.append(f"{path}:{stat.st_size}:{stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
