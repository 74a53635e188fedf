"""From a chat request to the kind of answer it asks for."""

import re
from collections.abc import Sequence

from ...protocols.chat import ChatReply, ChatRequest, Document, Message, Question, Text, Usage, render_message
from . import merge, passages, sections
from .prose import blocks, central, telling
from .sentences import finish, split
from .terms import terms
from .tokens import count, cut

MODEL = "embedded/extractive"
NOTICE = "extractive, no language model"

_SUBJECT = re.compile(r"^Summarise: (.+?)\s*$", re.MULTILINE)
_NO_DOCUMENTS = (
    "This answer is extractive: no language model took part, and the request holds no documents to take it from."
)
_MOST_CHARACTERS = 200_000


def answer(request: ChatRequest) -> ChatReply:
    """Answers by extraction from the request's own documents, without a language model.

    Pure and CPU-bound: the same request gives the same reply, which never holds more than `max_tokens` tokens
    of the o200k vocabulary. Safe to call from several threads.
    """
    asked = _asked(request.messages).parts
    parts = [_cleaned(part) for part in asked if isinstance(part, Text | Document | Question)]
    documents = [part for part in parts if isinstance(part, Document)]
    questions = [part.text for part in parts if isinstance(part, Question)]
    texts = [part.text for part in parts if isinstance(part, Text)]
    text = _answer(documents, questions, texts, request.max_tokens)
    for stop in request.stop:
        text = text.partition(stop)[0] if stop else text
    text = cut(text, request.max_tokens)
    spent = sum(count(_whole(render_message(message))) for message in request.messages)
    return ChatReply(text, MODEL, Usage(input_tokens=spent, output_tokens=count(text)))


def _asked(messages: Sequence[Message]) -> Message:
    """The last message of the user, else the last of all."""
    mine = [message for message in messages if message.role == "user"] or list(messages)
    return mine[-1] if mine else Message("user", ())


def _whole(text: str) -> str:
    """The text with lone surrogates, which can't be encoded, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _cleaned(part: Text | Document | Question) -> Text | Document | Question:
    text = _whole(part.text)
    if isinstance(part, Document):
        return Document(_whole(part.name), text, part.first_line, part.kind)
    return Text(text) if isinstance(part, Text) else Question(text)


def _answer(documents: Sequence[Document], questions: Sequence[str], texts: Sequence[str], room: int) -> str:
    if not documents:
        return _chat([*texts, *questions], bool(questions))
    sources = [document for document in documents if document.kind == "source"]
    if questions:
        return _passages(documents, sources, "\n".join(questions), room)
    if sources:
        return sections.write(documents, room)
    found = _SUBJECT.search(texts[0]) if texts else None
    path = found[1] if found is not None else _common_folder(documents)
    return merge.folder(path, documents, room) if path.endswith("/") else merge.file(documents, room)


def _passages(documents: Sequence[Document], sources: Sequence[Document], question: str, room: int) -> str:
    asked = passages.query(question)
    found = passages.find(sources, asked)
    summaries = [document for document in documents if document.kind == "summary"]
    for document in summaries:
        found.extend(passages.read(document.text) or passages.told(document, asked))
    return passages.write(passages.best(found), room)


def _common_folder(documents: Sequence[Document]) -> str:
    names = {document.name for document in documents}
    if len(names) == 1:
        return names.pop()
    parts = [name.rstrip("/").split("/")[:-1] for name in names]
    shared: list[str] = []
    for column in zip(*parts, strict=False):
        if len(set(column)) != 1:
            break
        shared.append(column[0])
    return "/".join(shared) + "/" if shared else "./"


def _chat(texts: Sequence[str], asked: bool) -> str:
    """Central sentences of a plain text; a bare question can't be answered."""
    text = "\n\n".join(texts)[:_MOST_CHARACTERS]
    found = [piece for kind, block in blocks(text) if kind == "paragraph" for piece in split(block) if telling(piece)]
    statements = [piece for piece in found if not piece.endswith("?")]
    if asked or len(statements) < 3 or len(terms(text)) < 40:
        return _NO_DOCUMENTS
    return " ".join(finish(piece) for piece in central(statements, 4))
