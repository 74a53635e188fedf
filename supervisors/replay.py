"""What a replay finds: the first place where a job, made again from what the Journal holds of it, differs."""

import msgspec


class Divergence(msgspec.Struct, frozen=True):
    """Where the replay of a job parts from what was recorded.

    Attributes:
        item: the item's number; -1 where it is no item's but the job's (a node of a drawn tree, the result).
        path: the step's path, or the path of a digest's chunk or node.
        why: what differs, in one line.
    """

    item: int
    path: str
    why: str
