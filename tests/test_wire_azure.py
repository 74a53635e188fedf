"""Azure's form of the OpenAI format: address, key, filters, and every kind of account's codec."""

import json

import pytest
from wire_vectors import ASKED, CODECS, dumped

from understudy.protocols.accounts import Account, Kind
from understudy.protocols.errors import (
    AuthRejected,
    CallError,
    ConfigError,
    ContentFiltered,
    ModelNotFound,
    RateLimited,
)
from understudy.protocols.wire import openai
from understudy.protocols.wire.azure import CODEC, Azure
from understudy.protocols.wire.formats import codec


def test_the_address_holds_deployment_and_version() -> None:
    """The path of Microsoft's reference; nothing in a name or a version can break out of its place."""
    where = "/openai/deployments/gpt4o-eu/chat/completions?api-version=2024-10-21"
    assert CODEC.target("gpt4o-eu", stream=False) == CODEC.target("gpt4o-eu", stream=True) == where
    odd = "/openai/deployments/a%2Fb%3Fc/chat/completions?api-version=x%26y"
    assert Azure("x&y").target("a/b?c", stream=False) == odd
    assert CODEC.headers("k") == {"api-key": "k"}
    assert CODEC.headers(None) == {}
    assert CODEC.encode(ASKED, "m", stream=True) == openai.encode(ASKED, "m", stream=True)


FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"hate": {"filtered": True, "severity": "high"}},
        },
    }
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, FILTERED, ContentFiltered),
        (400, {"error": {**FILTERED["error"], "code": None}}, ContentFiltered),
        (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key."}}, AuthRejected),
        (404, {"error": {"code": "DeploymentNotFound", "message": "No such deployment."}}, ModelNotFound),
        (429, {"error": {"code": "429", "message": "Please retry after 7 seconds."}}, RateLimited),
        (401, {"statusCode": 401, "message": "Unauthorized."}, AuthRejected),
    ],
)
def test_each_error(status: int, body: object, kind: type[CallError]) -> None:
    """Azure's refusals, of the model and of the gateway before it."""
    error = CODEC.classify(status, {"retry-after": "7"}, dumped(body), wall=0.0)
    assert type(error) is kind
    assert error.retry_after == 7.0
    assert str(error) != f"HTTP {status}: no message"


@pytest.mark.parametrize("kind", CODECS)
def test_each_kind_of_account_has_its_codec(kind: Kind) -> None:
    """Every kind that is reached over HTTP has one, Azure's with the account's own version."""
    account = Account(kind=kind, base_url="https://x.example", api_version="2025-01-01-preview")
    assert type(codec(account)) is type(CODECS[kind])
    assert ("2025-01-01-preview" in codec(account).target("m", stream=False)) == (kind == "azure")
    assert json.loads(codec(account).encode(ASKED, "m"))


def test_the_embedded_account_has_none() -> None:
    """It is not reached over HTTP."""
    with pytest.raises(ConfigError, match="embedded"):
        codec(Account(kind="embedded"))
