"""What has come of a digest so far: its summaries and its bill."""

from ...actors.prices import dollars
from ...protocols.digest import DigestPlan, Summary
from ...protocols.jobs import JobSpec, Page
from ...protocols.messages import ItemDone
from ...protocols.report import Bill, ModelBill, total
from ...supervisors.digest.interpreter import DigestInterpreter, summary


class _Row:
    """Sums over the answers of one model."""

    __slots__ = ("attempts", "calls", "cost", "input_tokens", "output_tokens")

    def __init__(self) -> None:
        self.calls = self.attempts = self.input_tokens = self.output_tokens = self.cost = 0


class Gathered:
    """Fed with pages; what it holds is what a report is made of, complete or not."""

    def __init__(self, plan: DigestPlan, spec: JobSpec) -> None:
        self._interpreter = DigestInterpreter(spec)
        self._root = plan.nodes[-1].id
        self._rows: dict[str, _Row] = {}
        self.summaries: dict[int, Summary] = {}

    def take(self, page: Page) -> None:
        """Adds a page's answers; an answer told twice counts once."""
        for item in page.items:
            self._count(item)
            for leaf in self._interpreter.leaves(item):
                self.summaries[leaf.item] = summary(leaf)
        for node in page.nodes:
            self._count(node)
            self.summaries[node.item] = summary(node)

    def _count(self, done: ItemDone) -> None:
        if not done.attempts:
            return
        row = self._rows.setdefault(done.model or "unknown", _Row())
        row.calls += not done.error
        row.attempts += done.attempts
        row.input_tokens += done.input_tokens
        row.output_tokens += done.output_tokens
        row.cost = -1 if done.cost < 0 or row.cost < 0 else row.cost + done.cost

    @property
    def root(self) -> Summary | None:
        """The root's summary, when there is one."""
        return self.summaries.get(self._root)

    def bill(self) -> Bill:
        """What was used so far, by model."""
        return total(
            ModelBill(
                model=model,
                calls=row.calls,
                attempts=row.attempts,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                cost=None if row.cost < 0 else f"{dollars(row.cost):f}",
            )
            for model, row in self._rows.items()
        )
