"""LiteLLM's provider prefixes: which wire format, which address, which variable holds the key.

Source: LiteLLM's provider pages, and the providers' own pages on their OpenAI-compatible addresses.
"""

import dataclasses
from types import MappingProxyType
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class Provider:
    """One prefix. `base_url` is empty where the file has to name it, `variable` where no key is usual."""

    name: str
    kind: str = "openai"
    base_url: str = ""
    variable: str = ""


_OPENAI_COMPATIBLE = (
    Provider("openai", "openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    Provider("groq", "openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    Provider("mistral", "openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    Provider("deepseek", "openai", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    Provider("together_ai", "openai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    Provider("fireworks_ai", "openai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    Provider("openrouter", "openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    Provider("perplexity", "openai", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    Provider("xai", "openai", "https://api.x.ai/v1", "XAI_API_KEY"),
    Provider("cerebras", "openai", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    Provider("nvidia_nim", "openai", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    Provider("sambanova", "openai", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    Provider("deepinfra", "openai", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    Provider("moonshot", "openai", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    Provider("ollama", "openai", "http://localhost:11434/v1"),
    Provider("ollama_chat", "openai", "http://localhost:11434/v1"),
)
_BY_ADDRESS = (
    "hosted_vllm",
    "vllm",
    "openai_like",
    "openai-like",
    "custom_openai",
    "lm_studio",
    "llamafile",
    "xinference",
    "litellm_proxy",
)
_OF_THEIR_OWN = (
    Provider("azure", "azure", "", "AZURE_API_KEY"),
    Provider("anthropic", "anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY"),
)

PROVIDERS: Final = MappingProxyType(
    {one.name: one for one in (*_OPENAI_COMPATIBLE, *_OF_THEIR_OWN, *(Provider(name) for name in _BY_ADDRESS))}
)

_BARE: Final = (
    (("gpt-", "o1", "o3", "o4", "chatgpt-", "ft:gpt-"), "openai"),
    (("claude-",), "anthropic"),
    (("gemini-",), "gemini"),
)


def split(model: str, provider: str | None) -> tuple[str, str]:
    """(prefix, model's name at the provider) of a LiteLLM model; the prefix is empty where none can be told."""
    head, slash, tail = model.partition("/")
    if provider:
        return provider, tail if slash and head == provider else model
    if slash:
        return head, tail
    return next((name for starts, name in _BARE if model.startswith(starts)), ""), model


def name_there(provider: Provider, model: str) -> str:
    """The model as the provider's own API calls it."""
    if provider.name == "fireworks_ai" and not model.startswith("accounts/"):
        return f"accounts/fireworks/models/{model}"
    return model


def address(provider: Provider, url: str) -> str:
    """`url`, which LiteLLM completes in its own way for each provider, as our `base_url`."""
    url = url.rstrip("/")
    for ending in ("/chat/completions", "/messages"):
        url = url.removesuffix(ending)
    if provider.kind == "azure":
        return url.split("/openai", 1)[0]
    version = {"anthropic": "/v1", "gemini": "/v1beta"}.get(provider.kind)
    if provider.name in ("ollama", "ollama_chat"):
        version = "/v1"
    return url + version if version and not url.endswith(("/v1", "/v1beta")) else url
