"""Which path speaks which dialect, and where each keeps its key.

Base URLs: ``http://HOST:P/v1`` for OpenAI and Anthropic, ``http://HOST:P/v1beta`` (or ``/v1``) for Gemini,
``http://HOST:P`` for Azure.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from .dialect import Dialect, Target
from .dialect_anthropic import Anthropic
from .dialect_azure import Azure
from .dialect_embeddings import AzureEmbeddings, OpenAIEmbeddings
from .dialect_gemini import Gemini
from .dialect_openai import OpenAI

OPENAI: Final = Target(OpenAI())
ANTHROPIC: Final = Target(Anthropic())
GEMINI: Final = Target(Gemini())
_FIXED = {
    "/v1/chat/completions": OPENAI,
    "/v1/embeddings": Target(OpenAIEmbeddings()),
    "/v1/messages": ANTHROPIC,
}
_NO_VERSION = Target(Anthropic(), complaint="anthropic-version: header is required")
_AZURE_PREFIX = "/openai/deployments/"
_AZURE: dict[str, Dialect] = {"chat/completions": Azure(), "embeddings": AzureEmbeddings()}
_GEMINI_PREFIXES = ("/v1beta/models/", "/v1/models/")


def find(path: str, query: str, headers: Mapping[str, str]) -> Target | None:
    """The target of a POST to ``path``, or None if no dialect knows it."""
    target = _FIXED.get(path)
    if target is ANTHROPIC and "anthropic-version" not in headers:
        return _NO_VERSION
    if target is not None:
        return target
    if path.startswith(_GEMINI_PREFIXES):
        return _gemini(path.partition("/models/")[2], query)
    if path.startswith(_AZURE_PREFIX) and parse_qs(query).get("api-version"):
        model, _, rest = path.removeprefix(_AZURE_PREFIX).partition("/")
        dialect = _AZURE.get(rest)
        return None if dialect is None else Target(dialect, model=unquote(model))
    return None


def _gemini(rest: str, query: str) -> Target | None:
    model, _, method = unquote(rest).rpartition(":")
    if method == "generateContent":
        return Target(GEMINI.dialect, model=model)
    if method != "streamGenerateContent":
        return None
    complaint = "" if parse_qs(query).get("alt") == ["sse"] else "This provider streams with alt=sse only."
    return Target(GEMINI.dialect, model=model, stream=True, complaint=complaint)


def key_of(dialect: Dialect, headers: Mapping[str, str], query: str) -> str:
    """The key that a request carries, where its dialect has it; empty if there is none."""
    if dialect.name == "openai":
        return headers.get("Authorization", "").removeprefix("Bearer ")
    key = None
    if dialect.name == "anthropic":
        key = headers.get("x-api-key")
    elif dialect.name == "azure":
        key = headers.get("api-key")
    elif dialect.name == "gemini":
        key = headers.get("x-goog-api-key") or next(iter(parse_qs(query).get("key", ())), None)
    return headers.get("Authorization", "").removeprefix("Bearer ") if key is None else key


def lister(path: str, headers: Mapping[str, str]) -> Dialect | None:
    """The dialect in which ``GET path`` lists the models, or None if it does not."""
    if path == "/v1beta/models":
        return GEMINI.dialect
    if path != "/v1/models":
        return None
    return ANTHROPIC.dialect if "anthropic-version" in headers or "x-api-key" in headers else OPENAI.dialect
