"""From a digest's options to its plan, what it will cost, and the job that does it; nothing is spent yet."""

from collections.abc import Iterator
from pathlib import Path

from ...actors.prices import PriceBook
from ...protocols.config import Config
from ...protocols.digest import DigestPlan
from ...protocols.errors import UsageError
from ...protocols.jobs import JobSpec
from ...supervisors.digest.known import Earlier, Recall, known_nodes
from ...supervisors.digest.plan import Estimate, Found, Planner, Totals, estimate
from ..config_file import load
from ..walk import walk
from . import show
from .models import Forecast, Models, book, choose, dearest_item, forecast, known_tenant
from .notes import Case
from .options import Options
from .submit import common, job_spec


class Planning:
    """A digest before its first call.

    Args:
        options: what the command line asks for.

    Attributes:
        models: who is asked.
        plan: what is read, in which calls; after `finish`.
        guess: what that takes.
        cast: what that costs.

    Raises:
        UsageError: bad input; nothing was spent.
    """

    plan: DigestPlan
    guess: Estimate
    cast: Forecast

    def __init__(self, options: Options) -> None:
        self._options = options
        self._config: Config = load(options.config)
        self.models: Models = choose(self._config, options.map_model, options.reduce_model)
        known_tenant(self._config, options.tenant)
        options.check()
        self._found: Iterator[Found] = walk(options.path, self._config.digest)  # says at once what is wrong with it
        self._planner = Planner(options.path, self._config.digest)
        self._prices: PriceBook | None = None

    @property
    def totals(self) -> Totals:
        """What was found so far, for a live display."""
        return self._planner.totals

    @property
    def remembers(self) -> bool:
        """True where what earlier digests have answered will do."""
        return self._config.digest.remember and not self._options.fresh

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models whose price nobody knows."""
        return self._book().unpriced

    def read(self) -> None:
        """Reads all that is to be digested."""
        for one in self._found:
            self._planner.add(one)

    def finish(self, recall: Recall | None) -> None:
        """Makes the plan; `recall` looks up what earlier digests have answered.

        Raises:
            SourceError: there is nothing to read.
        """
        options, known = self._options, {}
        if recall is None:
            self.plan = self._planner.finish()
        else:
            whose = common(self.models, question=options.question, tenant=options.tenant)
            earlier = Earlier(whose, recall, bool(options.question))
            self.plan = self._planner.finish(earlier)
            known = known_nodes(self.plan, earlier) if any(pack.known for pack in self.plan.packs) else {}
        self.guess = estimate(self.plan, self._config.digest, known)
        self.cast = forecast(self.models, self.guess, self._book(), concurrency=options.concurrency)

    def _book(self) -> PriceBook:
        if self._prices is None:
            self._prices = book(self.models)
        return self._prices

    # Money ------------------------------------------------------------------------------------------------------------

    def _max_cost(self) -> int:
        """Picodollars, -1 for no bound."""
        dollars = self._options.max_cost if self._options.max_cost is not None else self._config.max_cost
        return -1 if dollars is None else round(dollars * 1e12)

    def afford(self) -> None:
        """Raises `UsageError` where the plan costs more than is allowed."""
        most = self._max_cost()
        if most >= 0 and self.cast.cost is not None and self.cast.cost > most:
            raise UsageError(
                f"the plan costs about {show.money(self.cast.cost)}, more than the {show.money(most)} allowed; nothing "
                "was spent; raise --max-cost (or max_cost), digest less, or choose cheaper models (see --plan)"
            )

    # The job ----------------------------------------------------------------------------------------------------------

    def spec(self, mappers: int) -> JobSpec:
        """The job, for a cluster of so many Mappers."""
        options = self._options
        return job_spec(
            self.plan,
            self.models,
            question=options.question,
            # Extraction is CPU work of one thread: two at hand keep it busy, more would only wait.
            width=2 if self.models.embedded else max(1, -(-options.concurrency // mappers)),
            max_cost=self._max_cost(),
            item_cost=dearest_item(self.models, self.plan, self._book()),
            held_back=self.cast.reduce_cost or 0,
            tenant=options.tenant,
            fresh=options.fresh,
        )

    def case(self, started: str) -> Case:
        """What the end of the digest needs beside its plan; `started` is ISO 8601."""
        options = self._options
        return Case(
            title=Path(options.path).resolve().name or "/",
            started=started,
            out=str(options.out),
            question=options.question,
            path=options.path,
            embedded=self.models.embedded,
        )
