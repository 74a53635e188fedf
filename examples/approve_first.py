"""A person decides before money moves: the run pauses, asks here, and goes on without repeating anything.

    python examples/approve_first.py [CONFIGURATION]

Without `on_approval` the run would wait, at no cost, until somebody says `understudy approve`.
"""

import sys
from pathlib import Path

import understudy as us


def pay_back(cents: int, reason: str) -> dict[str, object]:
    """Stands for your payments. Functions are named by where they are defined, so that any process can call them."""
    return {"paid_back": cents, "reason": reason}


FLOW = us.chain(
    us.call(
        "A customer writes:\n\n{{ input }}\n\nHow many cents should be paid back, and why?",
        model="large",
        id="proposal",
        output={
            "type": "object",
            "properties": {"cents": {"type": "integer", "minimum": 0}, "reason": {"type": "string"}},
            "required": ["cents", "reason"],
            "additionalProperties": False,
        },
    ),
    # Small amounts need nobody.
    us.approve(
        "pay back {{ proposal.cents }} cents?",
        id="agreed",
        show="{{ input }}\n\n{{ proposal.reason }}",
        value="{{ proposal }}",
        when="proposal.cents > 1000",
    ),
    us.function(
        pay_back,
        args={"cents": "{{ (agreed or proposal).cents }}", "reason": "{{ (agreed or proposal).reason }}"},
    ),
)


def ask(what: us.ApprovalAsk) -> us.Verdict:
    """Asks on the terminal; what is written behind `y` or `n` is kept as the note."""
    sys.stdout.write(f"{what.show}\n\n{what.title} [y/n] ")
    sys.stdout.flush()
    said, _, note = sys.stdin.readline().strip().partition(" ")
    return us.Verdict(approved=said == "y", note=note)


def main() -> None:
    """Runs it, and prints what came of it."""
    config = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("understudy.yaml")
    try:
        result = us.run(FLOW, "The lamp for 49 euro came broken.", config=config, on_approval=ask)
    except us.StepFailed as error:
        sys.stdout.write(f"not paid: {error}\n")
    else:
        sys.stdout.write(f"{result.output}\n")


if __name__ == "__main__":
    main()
