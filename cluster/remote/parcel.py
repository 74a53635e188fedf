"""What travels with a job: the workflow's folder, or what is to be digested, and the files that the command names.

Never shipped: what git ignores, environments and caches, links, and files that hold secrets by custom (`.env`, private
keys). The configuration holds references only; the cluster's nodes have the variables.
"""

import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...protocols.config import DigestSettings
from ...protocols.digest import Skipped
from ...protocols.errors import UsageError
from ..walk import walk

MOST_BYTES: Final = 200_000_000
"""Of all files together; Ray's head keeps a parcel in its memory."""

_DATE: Final = (1980, 1, 1, 0, 0, 0)
_SECRETS: Final = re.compile(r"\.env(\..*)?|.*\.(pem|key|p12|pfx|jks)|id_(rsa|dsa|ecdsa|ed25519)|\.netrc|\.pgpass")
_LEFT: Final = ("ignored", "vendored", "unreadable", "symlink", "special file")


class Parcel:
    """A zip file that Ray unpacks as the job's working folder. The same contents make the same bytes.

    Args:
        name: for messages: what is shipped.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._files: dict[str, Path | bytes] = {}
        self._size = 0

    def add(self, path: str, data: Path | bytes) -> None:
        """One more file at `path` of the working folder. Raises `UsageError` when it gets too large."""
        self._size += len(data) if isinstance(data, bytes) else _size(data)
        if self._size > MOST_BYTES:
            raise UsageError(
                f"{self._name}: more than {MOST_BYTES // 1_000_000} MB would be sent to the cluster; "
                "have git ignore what the job does not need, or give a smaller folder"
            )
        self._files[path] = data

    def add_folder(self, prefix: str, folder: Path) -> None:
        """All of a folder that is not left out; see this module's first lines."""
        for path in shipped(folder):
            self.add(f"{prefix}/{path}", folder / path)

    def write(self) -> Path:
        """The zip, in a temporary folder that is the caller's to remove."""
        path = Path(tempfile.mkdtemp(prefix="understudy-parcel-")) / "parcel.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(self._files):
                data = self._files[name]
                entry = zipfile.ZipInfo(name, _DATE)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data if isinstance(data, bytes) else data.read_bytes())
        return path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


def shipped(folder: Path) -> Iterator[str]:
    """The paths below `folder` that are shipped, by the rules that a digest walks by."""
    for found in walk(folder, DigestSettings()):
        if isinstance(found, Skipped) and (found.reason in _LEFT or found.path.endswith("/")):
            continue
        if not _SECRETS.fullmatch(found.path.rpartition("/")[2]):
            yield found.path
