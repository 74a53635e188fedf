"""What has come of a digest so far: its summaries and its bill."""

from ...actors.prices import dollars
from ...protocols.digest import DigestPlan, Summary
from ...protocols.jobs import JobSpec, Page
from ...protocols.messages import ItemDone, Used
from ...protocols.report import Bill, ModelBill, total
from ...supervisors.digest.answer import summary
from ...supervisors.digest.interpreter import DigestInterpreter


class _Row:
    """Sums over the answers of one model."""

    __slots__ = ("attempts", "calls", "cost", "input_tokens", "open_cost", "output_tokens")

    def __init__(self) -> None:
        self.calls = self.attempts = self.input_tokens = self.output_tokens = self.cost = self.open_cost = 0

    def add(self, used: Used) -> None:
        """One more line of a bill."""
        self.attempts += used.attempts
        self.input_tokens += used.input_tokens
        self.output_tokens += used.output_tokens
        self.open_cost += used.open_cost
        self.cost = -1 if used.cost < 0 or self.cost < 0 else self.cost + used.cost


class Gathered:
    """Fed with pages; what it holds is what a report is made of, complete or not."""

    def __init__(self, plan: DigestPlan, spec: JobSpec) -> None:
        self._interpreter = DigestInterpreter(spec)
        self._root = plan.nodes[-1].id
        self._rows: dict[str, _Row] = {}
        self._hedges = 0
        self.summaries: dict[int, Summary] = {}
        self._stale: set[tuple[bool, int]] = set()

    def take(self, page: Page) -> None:
        """Adds a page's answers. Of an item that was tried again the later answer counts; it was paid for each time."""
        for item in page.items:
            self._count(item, node=False)
            for leaf in self._interpreter.leaves(item):
                self.summaries[leaf.item] = summary(leaf)
        for node in page.nodes:
            self._count(node, node=True)
            self.summaries[node.item] = summary(node)

    @property
    def stale(self) -> int:
        """Answers that are older ones from the cache, since no model answered."""
        return len(self._stale)

    def _count(self, done: ItemDone, *, node: bool) -> None:
        """What was sent is billed to whom it was sent, the call to who answered."""
        if done.degraded and not done.error:
            self._stale.add((node, done.item))
        else:
            self._stale.discard((node, done.item))
        if not done.attempts:
            return
        self._hedges += done.hedges
        model = done.model or "unknown"
        for used in done.used or [_whole(model, done)]:
            row = self._rows.setdefault(used.model, _Row())
            row.add(used)
            row.calls += used.model == model and not done.error

    @property
    def root(self) -> Summary | None:
        """The root's summary, when there is one."""
        return self.summaries.get(self._root)

    def bill(self) -> Bill:
        """What was used so far, by model."""
        rows = [
            ModelBill(
                model=model,
                calls=row.calls,
                attempts=row.attempts,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                cost=None if row.cost < 0 else f"{dollars(row.cost):f}",
                open_cost=f"{dollars(row.open_cost):f}",
            )
            for model, row in self._rows.items()
        ]
        return total(rows, hedges=self._hedges)


def _whole(model: str, done: ItemDone) -> Used:
    return Used(model, done.attempts, done.input_tokens, done.output_tokens, done.cost, done.open_cost)
