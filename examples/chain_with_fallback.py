"""A chain with a fallback, in ten lines of Python.

    python examples/chain_with_fallback.py [CONFIGURATION]

Extract the facts; write the summary with the large model, with the small one if that fails. The configuration is
understudy.yaml beside this file unless another is named.
"""

import sys
from pathlib import Path

import understudy as us

FLOW = us.chain(
    us.call("List the facts in this text, one a line:\n\n{{ input }}", model="small", id="facts"),
    us.fallback(
        us.call("Write two sentences for a busy reader. The facts:\n\n{{ facts }}", model="large"),
        us.call("Say in two sentences:\n\n{{ facts }}", model="small"),
    ),
)
TEXT = "The depot in Harbour Street holds 4,200 pallets. Last quarter 5,100 were stored; the rest was rented dearly."


def main() -> None:
    """Runs it, and prints the summary, what stood in for what, and the bill."""
    config = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("understudy.yaml")
    result = us.run(FLOW, TEXT, config=config)
    notes = [f"{step.path}: {step.note}" for step in result.steps if step.state == "degraded"]
    sys.stdout.write("\n".join([str(result.output), *notes, f"{result.calls} calls, ${result.cost}", ""]))


if __name__ == "__main__":
    main()
