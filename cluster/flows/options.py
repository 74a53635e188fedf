"""What `understudy run` is asked for."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """See `understudy run --help`; `wait` None: as long as somebody looks on."""

    flow: Path
    input: str | None = None
    inputs: Path | None = None
    config: Path | None = None
    out: Path = Path("results.jsonl")
    plan: bool = False
    json: bool = False
    max_cost: float | None = None
    tenant: str = ""
    concurrency: int = 64
    wait: bool | None = None
