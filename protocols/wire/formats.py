"""The codec of each kind of account."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..accounts import Account
from ..errors import ConfigError
from . import anthropic, azure, gemini, openai
from .codec import Codec

CODECS: Final[Mapping[str, Codec]] = MappingProxyType(
    {"openai": openai.CODEC, "azure": azure.CODEC, "anthropic": anthropic.CODEC, "gemini": gemini.CODEC}
)


def codec(account: Account) -> Codec:
    """The codec of an account that is reached over HTTP. Raises `ConfigError` for the embedded one."""
    if account.kind == "azure":
        return azure.Azure(account.api_version)
    try:
        return CODECS[account.kind]
    except KeyError:
        raise ConfigError(f"accounts of kind {account.kind!r} have no wire format") from None
