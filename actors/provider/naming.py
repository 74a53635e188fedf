"""The name of the actor that holds an account."""

import hashlib

from ...protocols.config import Account


def provider_name(account: str, settings: Account) -> str:
    """`provider-NAME-HASH`: the hash is of what makes it the same account at the provider, and of nothing else.

    So two configurations that differ in limits share one Provider, and two accounts that happen to have one name don't.
    """
    same = f"{settings.kind}\0{settings.base_url}\0{settings.api_key}\0{settings.organization}"
    return f"provider-{account}-{hashlib.sha256(same.encode()).hexdigest()[:8]}"
