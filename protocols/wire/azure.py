"""Azure OpenAI's form of the OpenAI format: the deployment in the path, the version in the query, a header for the key.

Source: Microsoft Learn, *Azure OpenAI in Foundry Models REST API reference*, "Chat completions"; *Content filtering*,
"Scenario details" for the refusals (`innererror.code` is `ResponsibleAIPolicyViolation`).
"""

from typing import Final
from urllib.parse import quote

from .codec import Codec
from .openai import PATH, OpenAI

DEFAULT_VERSION: Final = "2024-10-21"


class Azure(OpenAI):
    """The codec of an account; a candidate's `model` is the name of its deployment."""

    def __init__(self, api_version: str = DEFAULT_VERSION) -> None:
        self._query = f"?api-version={quote(api_version, safe='')}"

    def target(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the protocol's
        """Below `https://NAME.openai.azure.com`."""
        return f"/openai/deployments/{quote(model, safe='')}{PATH}{self._query}"

    def headers(self, key: str | None) -> dict[str, str]:
        """The key of the resource; tokens of Entra ID go in the account's own headers."""
        return {"api-key": key} if key is not None else {}


CODEC: Final[Codec] = Azure()
