"""Makes the peers' own environment, `.venv-bench`: what a user would pick instead. Never a dependency of ours.

Usage: `python -m benchmarks.peers`; nothing is done when it is there already.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.rig import PEERS, ROOT

PINS: Final = Path(__file__).with_name("peers.txt")


def ready() -> bool:
    """True when the environment was made by the pins as they are now."""
    stamp = _stamp()
    return PEERS.exists() and stamp.exists() and stamp.read_bytes() == PINS.read_bytes()


def make() -> None:
    """Makes it anew where it is missing or old. Raises `subprocess.CalledProcessError` when pip fails."""
    if ready():
        return
    subprocess.run([sys.executable, "-m", "venv", str(ROOT / ".venv-bench")], check=True)
    subprocess.run([str(PEERS), "-m", "pip", "install", "--quiet", "--requirement", str(PINS)], check=True)
    _stamp().write_bytes(PINS.read_bytes())


def _stamp() -> Path:
    return ROOT / ".venv-bench" / "peers.txt"


if __name__ == "__main__":
    make()
