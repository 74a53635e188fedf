"""What is known of a candidate when one is chosen."""

import dataclasses
from collections.abc import Callable, Mapping

from ...protocols.accounts import Account
from ...protocols.chat import Usage
from ...protocols.routes import Candidate
from ..prices import PriceBook, cost


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """A candidate as its caller sees it now; what is unknown is the default.

    Attributes:
        blocked_s: nobody may call its account for so long (Retry-After, open breaker).
        down: its key was rejected.
        in_flight: calls of this process that are out.
        free: part of its quota that is free, 0 to 1; -1 where nothing is known or limited.
        latency_s: decayed mean of what its answers took; 0 when there was none.
        cost: picodollars that this request would cost by estimate; -1 where no price is known.
        window: tokens it can read and write together; 0 when unknown.
        private: what must not leave may go there.
    """

    blocked_s: float = 0.0
    down: bool = False
    in_flight: int = 0
    free: float = -1.0
    latency_s: float = 0.0
    cost: int = -1
    window: int = 0
    private: bool = False


def cold_view(
    accounts: Mapping[str, Account], prices: PriceBook, *, tokens: int, max_tokens: int
) -> Callable[[Candidate], View]:
    """What the configuration alone tells of a candidate: price, window, privacy and typical latency.

    Args:
        accounts: by name.
        prices: rates and windows.
        tokens: of the prompt.
        max_tokens: of the answer; the estimate is that all are used.
    """
    usage = Usage(input_tokens=tokens, output_tokens=max_tokens)

    def view(candidate: Candidate) -> View:
        rate = prices.rate(candidate)
        return View(
            latency_s=candidate.latency_s or 0.0,
            cost=-1 if rate is None else cost(rate, usage),
            window=prices.window(candidate) or 0,
            private=accounts[candidate.account].is_private,
        )

    return view
