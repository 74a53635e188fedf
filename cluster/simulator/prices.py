"""What a request costs: exact decimals, by the ledger's counts."""

from decimal import Decimal
from functools import lru_cache

from .ledger import Record
from .settings import ModelSettings


def cost_of(model: ModelSettings, record: Record, completion_tokens: int) -> str:
    """Dollars for the prompt of a record and so many tokens of completion, as an exact decimal."""
    input_price = model.input_price
    plain = record.prompt_tokens
    if not record.cached_tokens and not record.written_tokens:
        return _dollars(input_price, plain, model.output_price, completion_tokens)
    cached_price = input_price if model.cached_price is None else model.cached_price
    written_price = input_price if model.written_price is None else model.written_price
    plain -= record.cached_tokens + record.written_tokens
    return _text(
        input_price * plain
        + cached_price * record.cached_tokens
        + written_price * record.written_tokens
        + model.output_price * completion_tokens
    )


@lru_cache(maxsize=65_536)
def _dollars(input_price: Decimal, prompt_tokens: int, output_price: Decimal, completion_tokens: int) -> str:
    # Cached: most requests of a run have few different sizes, and equal costs then share one string in the ledger.
    return _text(input_price * prompt_tokens + output_price * completion_tokens)


def _text(millionths: Decimal) -> str:
    """Without an exponent; prices are dollars per million tokens."""
    return format(millionths.scaleb(-6).normalize(), "f")
