"""The embedded provider: answers by extraction, with no key, no network and no language model.

What answers is imported when it is first asked for (PEP 562): planning needs only the languages and the vocabulary.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dispatch import MODEL, NOTICE, answer

__all__ = ["MODEL", "NOTICE", "answer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import dispatch  # noqa: PLC0415

    return getattr(dispatch, name)
