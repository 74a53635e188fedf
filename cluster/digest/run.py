"""Runs `understudy digest` from its options to its exit code."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime

from rich.console import Console

from ...protocols.errors import UnderstudyError
from ...supervisors.digest.plan import files_known
from ..local import Opening
from ..session import Session
from . import show
from .earlier import lookup
from .ending import OK, finish, print_json
from .gather import Gathered
from .models import reach
from .notes import notes
from .options import Options as Options  # noqa: PLC0414 - whoever runs a digest says how
from .planning import Planning
from .submit import Submission, merged_nodes


def digest(options: Options) -> int:
    """Digests a folder. Returns the exit code.

    Raises:
        UsageError: bad input; nothing was spent.
        UnderstudyError: something else went wrong; the text says what.
    """
    return _Digest(options).run()


class _Digest:
    def __init__(self, options: Options) -> None:
        self._options = options
        # What a person reads goes to standard error with --json, so that standard output is JSON alone.
        self._console = Console(stderr=options.json, soft_wrap=False)
        self._began = time.monotonic()
        self._started = datetime.now(tz=UTC).isoformat(timespec="seconds")
        self._stack = ExitStack()
        self._opening: Opening[Session] | None = None
        self._session: Session | None = None

    def run(self) -> int:
        """See `digest`."""
        planning = Planning(self._options)
        self._opening = None if self._options.plan else Opening(self._prepared)
        with show.Progress(self._console, quiet=self._options.json) as progress, self._stack:
            if self._opening is not None and not planning.models.embedded:
                for warning in reach(planning.models):
                    self._warn(warning)
            self._plan(planning, progress)
            if self._opening is None:
                return self._print_plan(planning)
            planning.afford()
            gathered, cancelled = self._work(progress, planning)
        return finish(
            self._console,
            planning.case(self._started),
            planning.plan,
            gathered,
            seconds=time.monotonic() - self._began,
            cancelled=cancelled,
            json=self._options.json,
        )

    def _prepared(self) -> Session:
        session = Session(self._options.settings())
        session.prepare()
        return session

    def _attached(self) -> Session:
        """The cluster, waited for where it is only being started."""
        if self._session is None:
            assert self._opening is not None
            self._session = self._stack.enter_context(self._opening.wait())
        return self._session

    def _warn(self, text: str) -> None:
        show.warn(self._console, text)

    # Planning ---------------------------------------------------------------------------------------------------------

    def _plan(self, planning: Planning, progress: show.Progress) -> None:
        progress.stage(f"reading {self._options.path}")
        progress.planning(planning.totals)
        planning.read()
        recall = None
        if planning.remembers:
            attached = None if self._opening is None else self._attached
            recall = lookup(self._options, attached, self._warn, hurried=planning.models.embedded)
        planning.finish(recall)
        if files_known(planning.plan):
            self._console.print(show.known(planning.plan), style="dim", highlight=False)
        for name in planning.unpriced:
            self._warn(f"no price is known for {name}: its cost is shown as ?; give it a price in models")

    def _print_plan(self, planning: Planning) -> int:
        guess, cast, totals = planning.guess, planning.cast, planning.totals
        if self._options.json:
            plan = {
                "files": totals.files,
                "files_known": files_known(planning.plan),
                "tokens": totals.tokens,
                "map_calls": guess.map_calls,
                "reduce_calls": guess.reduce_calls,
                "input_tokens": guess.input_tokens,
                "output_tokens": guess.output_tokens,
                "dollars": None if cast.cost is None else cast.cost / 1e12,
                "seconds_at_least": round(cast.seconds, 1),
                "bound_by": cast.limit,
                "unpriced": planning.unpriced,
            }
            print_json(plan)
        else:
            self._console.print(show.plan_table(guess, cast, totals))
            self._console.print("nothing was spent", style="dim")
        return OK

    # Working ----------------------------------------------------------------------------------------------------------

    def _work(self, progress: show.Progress, planning: Planning) -> tuple[Gathered, bool]:
        progress.stage("starting Ray")
        plan = planning.plan
        spec = planning.spec(self._options.settings().mappers)
        meta = notes(planning.case(self._started), plan)
        gathered = Gathered(plan, spec)
        job = Submission(self._attached(), spec)
        seen = show.Watching(gathered, progress, merged_nodes(plan.nodes), self._warn)
        try:
            progress.stage(f"mapping {planning.guess.map_calls:,} packs")
            job.start(plan, planning.models, meta)
            last = job.follow(seen)
        except KeyboardInterrupt:
            progress.stage("stopping")
            job.cancel()
            job.follow(seen)
            return gathered, True
        if last.state == "failed":
            raise UnderstudyError(f"the job failed: {last.error}")
        return gathered, False
