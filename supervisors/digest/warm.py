"""Loading what a digest by extraction needs, before the first slice comes."""

from ...actors.embedded import answer
from ...protocols.chat import ChatRequest, Document, Message
from . import interpreter as _  # noqa: F401 - its import is what takes time


def warm() -> None:
    """Loads the interpreter, the vocabulary and one grammar: 0.4 s that would else be the first slice's."""
    document = Document("warm.py", "def warm():\n    pass\n")
    answer(ChatRequest("extractive", (Message("user", (document,)),)))
