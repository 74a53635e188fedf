"""Many inputs from Python: typed answers as they come, and failures named instead of raised.

    python examples/screen_many.py [CONFIGURATION]

The configuration is understudy.yaml beside this file unless another is named.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field

import understudy as us


class Review(BaseModel):
    """What is wanted of each review: the model is shown this schema, and one try to mend what breaks it."""

    stars: int = Field(ge=1, le=5, description="how content the customer is")
    about: str = Field(description="what it is about, in three words")


FLOW = us.Flow(
    name="reviews",
    run=us.call(
        "How content is this customer, and what is it about?\n\n{{ input.text }}",
        model="small",
        output=Review,
        on_error={"retries": 1},
    ),
    max_cost=0.01,
)


def reviews() -> Iterator[dict[str, str]]:
    """Inputs, made one by one: they are taken as there is room for them, so there may be millions."""
    texts = ("Came a day early, thank you!", "Broken, and nobody answers.", "It is a lamp. It shines.")
    yield from ({"text": text} for text in texts)


def main() -> None:
    """Prints each answer with the number of its input, in the order they are done."""
    config = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("understudy.yaml")
    for result in us.run_many(FLOW, reviews(), config=config, concurrency=100):
        if result.error:
            sys.stdout.write(f"{result.number}: failed: {result.error}\n")
            continue
        review = Review.model_validate(result.output)
        sys.stdout.write(f"{result.number}: {'*' * review.stars:5} {review.about}\n")


if __name__ == "__main__":
    main()
