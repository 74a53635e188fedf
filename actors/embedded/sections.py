"""The answer to a map call: a section a document, within the tokens that the whole answer may hold."""

from collections.abc import Sequence

from ...protocols.chat import Document
from .compose import Sketch, compose, parse
from .files import sketch
from .tokens import count, cut

_LEAST = 4


def write(documents: Sequence[Document], max_tokens: int) -> str:
    """For each document a line `## name` and its summary; who needs little leaves room to the others."""
    if len(documents) == 1:
        head = f"## {_one_line(documents[0].name)}"
        room = max_tokens - count(head) - 2
        return cut(f"{head}\n{_safe(compose(_sketch(documents[0]), room))}", max_tokens)
    heads = [f"## {_one_line(document.name)}" for document in documents]
    sketches = [_sketch(document) for document in documents]
    room = max_tokens - sum(count(head) + 4 for head in heads)
    bodies = _share([_safe(compose(one, max(room, _LEAST))) for one in sketches], sketches, room)
    return cut("\n\n".join(f"{head}\n{body}".rstrip() for head, body in zip(heads, bodies, strict=True)), max_tokens)


def _sketch(document: Document) -> Sketch:
    return parse(document.text) if document.kind == "summary" else sketch(document)


def _share(bodies: list[str], sketches: Sequence[Sketch], room: int) -> list[str]:
    """Bodies shortened to an even share of the room where their sum passes it (water-filling: max-min fairness)."""
    sizes = [count(body) for body in bodies]
    if sum(sizes) <= room:
        return bodies
    left, share = room, 0
    for place, size in enumerate(sorted(sizes)):
        share = max(left, 0) // (len(sizes) - place)
        if size > share:
            break
        left -= size
    return [
        body if size <= share else _safe(compose(one, share)) if share >= _LEAST else ""
        for body, size, one in zip(bodies, sizes, sketches, strict=True)
    ]


def _one_line(name: str) -> str:
    return " ".join(name.split()) or "unnamed"


def _safe(body: str) -> str:
    """A body none of whose lines could be taken for the next section's heading."""
    return "\n".join(line.lstrip("# ") if line.lstrip().startswith("#") else line for line in body.split("\n"))
