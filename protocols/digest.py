"""What is said about a digest: the map-reduce of a folder tree.

A walk finds `SourceFile`s and `Skipped` paths; planning cuts files into `Chunk`s, puts chunks into `Pack`s (one map
call each) and draws the `Node`s of the reduce tree, which follows the folder tree.
"""

from typing import Literal

import msgspec

SkipReason = Literal[
    "ignored",
    "binary",
    "generated",
    "vendored",
    "too large",
    "empty",
    "unreadable",
    "not utf-8",
    "symlink",
    "special file",
]


class Skipped(msgspec.Struct, frozen=True):
    """A path the digest leaves out, with its reason; a folder's path ends in `/` and stands for all below it."""

    path: str
    reason: SkipReason
    detail: str = ""


class SourceFile(msgspec.Struct, frozen=True):
    """A text file that takes part: size in bytes, lines, tokens, and its language (`python`, `markdown`, …)."""

    path: str
    size: int
    lines: int
    tokens: int
    language: str


class Chunk(msgspec.Struct, frozen=True):
    """A consecutive piece of a file: `number` of `of`, from 1; lines are inclusive, from 1.

    The chunks of a file joined in order give back its text exactly.
    """

    path: str
    number: int
    of: int
    first_line: int
    last_line: int
    tokens: int
    language: str
    text: str


class Pack(msgspec.Struct, frozen=True):
    """The chunks that one map call reads: one chunk of a large file, or several small whole files.

    Or chunks that an earlier digest has read: then nobody is called, and the pack holds its answers.

    Attributes:
        id: dense from 0; the item's number in the job.
        chunks: what is read. A pack of answers travels without them.
        tokens: of what the call reads, headers included; 0 of a pack of answers.
        known: an answer for each chunk, or empty.
        keys: what those answers are known by.
        model: who gave them.
        shared: whether they were given for several files in one call.
    """

    id: int
    chunks: tuple[Chunk, ...]
    tokens: int
    known: tuple[str, ...] = ()
    keys: tuple[bytes, ...] = ()
    model: str = ""
    shared: bool = False


class Node(msgspec.Struct, frozen=True):
    """A node of the reduce tree.

    Attributes:
        id: dense from 0; a node's id is greater than the ids of all its children, the root's is the greatest.
        kind: `chunk` (a leaf: one chunk, answered by a map call), `file` (merges the chunks of one large file),
        `folder`. path: the file's path, or the folder's with `/` at the end; the root is `./`.
        children: ids, in the order they are to be read; empty for a leaf.
        pack: for a leaf, the pack that holds its chunk, else -1.
        place: for a leaf, the chunk's place in that pack, else -1.
    """

    id: int
    kind: Literal["chunk", "file", "folder"]
    path: str
    children: tuple[int, ...] = ()
    pack: int = -1
    place: int = -1


class DigestPlan(msgspec.Struct, frozen=True):
    """All that is decided before the first call: what is read, in which calls, and how answers are merged."""

    root: str
    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]
    packs: tuple[Pack, ...]
    nodes: tuple[Node, ...]


class Summary(msgspec.Struct, frozen=True):
    """What became of a node: its text, or the cause of its failure.

    Attributes:
        node: the node's id in the plan.
        text: the answer; empty when `error` is set.
        error: why there is no answer, in one line, or empty.
        model: who answered (`provider/model`); empty for a node that passed its only child through.
        shared: True where several files were answered by one call.
        failed: paths below that are missing from this summary.
    """

    node: int
    text: str
    error: str = ""
    model: str = ""
    shared: bool = False
    failed: tuple[str, ...] = ()
