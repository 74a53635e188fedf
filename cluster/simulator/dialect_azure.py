"""Azure OpenAI: OpenAI's bodies under a deployment's path, with Azure's errors and content filter results.

Source: learn.microsoft.com/azure/ai-services/openai: reference (2024-10-21), concepts/content-filter,
how-to/quota.
"""

from typing import Any, ClassVar

import orjson

from .dialect import DialectName, Event, Failure, Spoken, Stamp
from .dialect_openai import OpenAI
from .quota import Standing
from .request import Reply, Request
from .wire import sse

_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_UNSAFE = {**_SAFE, "violence": {"filtered": True, "severity": "medium"}}
_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
_GONE = "The API deployment for this resource does not exist. If you created it just now, please wait and try again."
_PROMPT = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify "
    "your prompt and retry."
)


class Azure(OpenAI):
    """``POST /openai/deployments/{model}/chat/completions?api-version=``."""

    name: ClassVar[DialectName] = "azure"

    def answer(self, request: Request, reply: Reply, stamp: Stamp) -> bytes:
        """OpenAI's completion with the filter's results."""
        body = orjson.loads(super().answer(request, reply, stamp))
        body["prompt_filter_results"] = _prompt_results()
        body["choices"][0]["content_filter_results"] = _UNSAFE if reply.finish_reason == "filtered" else _SAFE
        return orjson.dumps(body)

    def events(self, request: Request, reply: Reply, stamp: Stamp, chunk_chars: int) -> list[Event]:
        """OpenAI's events after one about the prompt, which has no choice in it."""
        first = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        opening = Event(sse({**first, "prompt_filter_results": _prompt_results()}))
        return [opening, *super().events(request, reply, stamp, chunk_chars)]

    def error(self, failure: Failure, stamp: Stamp) -> Spoken:
        """Azure's error object where it differs from OpenAI's."""
        kind = failure.kind
        if kind in ("auth", "revoked"):
            return Spoken(401, _error("401", _KEY))
        if kind == "not_found":
            return Spoken(404, _error("DeploymentNotFound", _GONE))
        if kind == "refused_429":
            wait = "" if failure.wait_s is None else f" Please retry after {failure.wait_s:g} seconds."
            return Spoken(429, _error("429", f"Requests have exceeded the {failure.limit} rate limit.{wait}"))
        if kind == "filtered":
            inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _UNSAFE}
            more = {"type": None, "param": "prompt", "status": 400, "innererror": inner}
            return Spoken(400, _error("content_filter", _PROMPT, more))
        return super().error(failure, stamp)

    def headers(self, standing: Standing | None, stamp: Stamp) -> str:
        """OpenAI's, and ``apim-request-id``."""
        return f"apim-request-id: sim-{stamp.ordinal}\r\n" + super().headers(standing, stamp)


def _prompt_results() -> list[dict[str, Any]]:
    return [{"prompt_index": 0, "content_filter_results": _SAFE}]


def _error(code: str, message: str, more: dict[str, Any] | None = None) -> bytes:
    return orjson.dumps({"error": {"code": code, "message": message, **(more or {})}})
