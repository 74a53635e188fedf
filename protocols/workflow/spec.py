"""A workflow as a job: what `JobSpec.spec` holds, and what its items are."""

import msgspec


class FlowSpec(msgspec.Struct, frozen=True):
    """How items are run.

    Attributes:
        flow: the workflow, as `encode` writes it.
        bind: the name by which templates know an item: `input`, or that of a loop.
        scope: other names they know, a JSON object.
        path: of the step that is run for each item.
        reduce: the map-reduce whose maps these are, as JSON; empty where each item stands for itself.
        budget: tokens that one merge may read.
        total: how many items there are, where they are merged.
        cost: picodollars that one item may spend, -1 for no bound.
        paths: folders where the functions and models are found that the workflow names.
    """

    flow: bytes
    bind: str = "input"
    scope: bytes = b"{}"
    path: str = "run"
    reduce: bytes = b""
    budget: int = 0
    total: int = 0
    cost: int = -1
    paths: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What `ItemDone.data` of a merged node holds: its value as JSON, and what is missing in it.

    `missing` are (first, behind the last, cause) of items that failed, or whose merge did.
    """

    value: bytes
    missing: tuple[tuple[int, int, str], ...] = ()


def item(value: object) -> bytes:
    """A value as an item of a job."""
    return msgspec.json.encode(value)
