"""What `understudy digest` may be told."""

import dataclasses
from pathlib import Path

from ...protocols.errors import UsageError
from ..local import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `fresh`: what earlier digests have answered will not do."""

    path: str
    question: str = ""
    plan: bool = False
    json: bool = False
    config: Path | None = None
    map_model: str | None = None
    reduce_model: str | None = None
    max_cost: float | None = None
    tenant: str = ""
    concurrency: int = 64
    mappers: int | None = None
    out: Path = Path("understudy-digest")
    fresh: bool = False

    def settings(self) -> Settings:
        """How the cluster is to be started, where there is none."""
        return Settings(mappers=self.mappers) if self.mappers else Settings()

    def check(self) -> None:
        """What can be seen to be wrong before Ray is started. Raises `UsageError`."""
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"--out {self.out}: it is a file; give a folder")
