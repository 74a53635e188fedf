"""Showing that two processes have the same secret without saying it."""

import hashlib
import hmac
import os
from collections.abc import Mapping


def prove(value: str, nonce: bytes) -> bytes:
    """An HMAC-SHA256 of `value` under a random `nonce`; says nothing of the value to who does not have it."""
    return hmac.new(nonce, value.encode(), hashlib.sha256).digest()


def differing(proofs: Mapping[str, bytes], nonce: bytes, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The variables that are missing here or have another value than where the proofs were made."""
    here = os.environ if environ is None else environ
    return tuple(
        name
        for name, proof in proofs.items()
        if name not in here or not hmac.compare_digest(prove(here[name], nonce), proof)
    )
