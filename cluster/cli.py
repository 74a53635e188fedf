"""The command line. Commands import what they need when they run, so that help answers at once."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from .. import __version__
from ..protocols.errors import UnderstudyError, UsageError

app = App(
    name="understudy",
    help="Orchestrates calls to language models over actors on Ray: a model fails, the show goes on.",
    version=__version__,
    version_flags=["--version"],
)


@app.command
def digest(
    path: Path,
    /,
    *,
    ask: Annotated[str, Parameter(help="a question to answer from the documents, instead of summarising")] = "",
    plan: Annotated[bool, Parameter(help="show calls, tokens, dollars and time, then stop")] = False,
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    config: Annotated[Path | None, Parameter(help="configuration (default: understudy.yaml here)")] = None,
    map_model: Annotated[str | None, Parameter(help="model that reads the source")] = None,
    reduce_model: Annotated[str | None, Parameter(help="model that merges summaries")] = None,
    max_cost: Annotated[float | None, Parameter(help="most dollars to spend")] = None,
    concurrency: Annotated[int, Parameter(help="calls in flight at once")] = 64,
    out: Annotated[Path, Parameter(help="folder of the report")] = Path("understudy-digest"),
) -> int:
    """Summarise a folder, or ask it a question: map-reduce over its files.

    Without a configuration it works with no key and no network: by extraction, which costs nothing.
    """
    from .digest.run import Options
    from .digest.run import digest as run

    if max_cost is not None and max_cost <= 0:
        raise UsageError("--max-cost must be more than 0; leave it out for no bound")
    if concurrency < 1:
        raise UsageError("--concurrency must be at least 1")
    options = Options(
        path=path,
        question=ask.strip(),
        plan=plan,
        json=json,
        config=config,
        map_model=map_model,
        reduce_model=reduce_model,
        max_cost=max_cost,
        concurrency=concurrency,
        out=out,
    )
    return run(options)


def main() -> None:
    """Entry point of the console script: errors become one line and an exit code."""
    try:
        code = app(exit_on_error=True, result_action="return_value")
    except UsageError as error:
        sys.stderr.write(f"understudy: {error}\n")
        code = 2
    except UnderstudyError as error:
        sys.stderr.write(f"understudy: {error}\n")
        code = 1
    except KeyboardInterrupt:
        sys.stderr.write("understudy: stopped\n")
        code = 130
    except BrokenPipeError:
        code = 141
    sys.exit(code if isinstance(code, int) else 0)
