"""What moderated_reply.yaml does outside of models: it charges, posts, and takes both back.

Stands for your billing and your help desk. `BOOK` is what they would write down, in the order it happened; it is this
process's own, so on a cluster each mapper has one.
"""

import itertools

BOOK: list[str] = []
_NUMBERS = itertools.count(1)


class NotGoodEnoughError(Exception):
    """A reply has failed its check."""


def charge(account: str, credits: int) -> dict[str, object]:  # noqa: A002 - the flow's own word for what is charged
    """Takes credits off an account, and gives the receipt."""
    receipt = f"r{next(_NUMBERS)}"
    BOOK.append(f"charge {account} {credits}")
    return {"receipt": receipt, "credits": credits}


def refund(receipt: str) -> str:
    """Gives back what a receipt stands for."""
    BOOK.append(f"refund {receipt}")
    return receipt


def post(account: str, text: str) -> dict[str, str]:
    """Shows a reply to the customer."""
    number = f"p{next(_NUMBERS)}"
    BOOK.append(f"post {account} {len(text)} characters")
    return {"id": number}


def withdraw(post: str) -> str:
    """Takes a reply back."""
    BOOK.append(f"withdraw {post}")
    return post


def require(*, ok: bool, problem: str) -> bool:
    """Passes a reply whose check says so.

    Raises:
        NotGoodEnoughError: it does not; the text is what the check found.
    """
    if not ok:
        raise NotGoodEnoughError(problem or "the check gives no reason")
    return True
