"""The embedded provider: answers by extraction, with no key, no network and no language model."""

from .dispatch import MODEL, NOTICE, answer

__all__ = ["MODEL", "NOTICE", "answer"]
