"""``python -m understudy.cluster.simulator --settings FILE|JSON|- --port N``: serve until told to stop.

``-`` takes the settings from the first line of stdin and serves until stdin closes.
"""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from .server import run
from .settings import Settings, load_settings


def main(arguments: list[str] | None = None) -> int:
    """Parse, serve; the exit code: 0 stopped, 1 the address cannot be had, 2 wrong settings."""
    parser = argparse.ArgumentParser(prog="simulator", description="A simulated language-model provider.")
    parser.add_argument("--settings", default="{}", help="a JSON file, a JSON object, or - for stdin")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    options = parser.parse_args(arguments)
    try:
        settings = _read_settings(options.settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the settings"
        return _fail(f"{where}: {first['msg']}", 2)
    except OSError as error:
        return _fail(f"--settings {options.settings}: {error.strerror}", 2)
    try:
        run(settings, options.host, options.port, stop_with_stdin=options.settings == "-")
    except OSError as error:
        return _fail(f"{options.host}:{options.port}: {error.strerror}", 1)
    return 0


def _read_settings(source: str) -> Settings:
    if source == "-":
        return Settings.model_validate_json(sys.stdin.buffer.readline())
    if source.lstrip().startswith("{"):
        return Settings.model_validate_json(source)
    return load_settings(Path(source))


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"simulator: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
