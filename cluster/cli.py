"""The command line. Commands import what they need when they run, so that help answers at once."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from .. import __version__
from ..protocols.errors import UnderstudyError, UsageError
from . import cli_flows, cli_jobs, cli_submit
from .local import begin_early

Journal = Annotated[
    str, Parameter(help="where what is finished is kept: sqlite:PATH or postgresql://… (default: a file of this user)")
]

app = App(
    name="understudy",
    help="Orchestrates calls to language models over actors on Ray: a model fails, the show goes on.",
    version=__version__,
    version_flags=["--version"],
)
cli_flows.register(app)
cli_jobs.register(app)
cli_submit.register(app)


@app.command
def digest(
    path: Annotated[str, Parameter(help="folder or file to read")],
    /,
    *,
    ask: Annotated[str, Parameter(help="a question to answer from the documents, instead of summarising")] = "",
    plan: Annotated[bool, Parameter(help="show calls, tokens, dollars and time, then stop")] = False,
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    config: Annotated[Path | None, Parameter(help="configuration (default: understudy.yaml here)")] = None,
    map_model: Annotated[str | None, Parameter(help="model that reads the source")] = None,
    reduce_model: Annotated[str | None, Parameter(help="model that merges summaries")] = None,
    max_cost: Annotated[float | None, Parameter(help="most dollars to spend")] = None,
    tenant: Annotated[str, Parameter(help="for whom: whose budget of the day it spends")] = "",
    concurrency: Annotated[int, Parameter(help="calls in flight at once")] = 64,
    out: Annotated[Path, Parameter(help="folder of the report")] = Path("understudy-digest"),
    fresh: Annotated[bool, Parameter(help="ask all anew, whatever earlier digests know", negative="")] = False,
    journal: Journal = "",
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
        tenant=tenant,
        concurrency=concurrency,
        out=out,
        fresh=fresh,
    )
    cli_flows.keep_at(journal)
    return run(options)


@app.command
def up(
    *,
    mappers: Annotated[int | None, Parameter(help="mapper processes (default: one a core)")] = None,
    idle: Annotated[float, Parameter(help="stop after so many seconds without work; 0: never")] = 900.0,
    journal: Journal = "",
) -> int:
    """Start this user's local cluster, so that the next command finds it warm."""
    from . import local, session

    cli_flows.keep_at(journal)
    settings = local.Settings(idle_s=idle) if mappers is None else local.Settings(mappers=mappers, idle_s=idle)
    with session.Session(settings) as running:
        running.status()
        sys.stdout.write(f"up at {running.address}\n")
    return 0


@app.command
def down() -> int:
    """Stop this user's local cluster; on a cluster at RAY_ADDRESS, end our actors only."""
    import os

    from . import home, local, session

    if os.environ.get("RAY_ADDRESS"):
        with session.Session() as running:
            running.end_actors()
        sys.stdout.write("our actors are ended\n")
        return 0
    with home.lock():
        found = home.load()
        if found is not None:
            local.stop(found)
    sys.stdout.write("down\n" if found else "no local cluster was running\n")
    return 0


@app.command
def status(
    job: Annotated[str, Parameter(help="one job, or how its id begins (default: the whole cluster)")] = "",
    /,
    *,
    address: cli_jobs.Address = "",
    json: Annotated[bool, Parameter(help="print it as JSON")] = False,
) -> int:
    """Show accounts, jobs and actors of the running cluster, or how one job stands; starts nothing."""
    if address:
        from .remote.api import listed
        from .remote.api import status as remote

        return remote(address, job, json=json) if job else listed(address, json=json)
    return cli_jobs.show(job, json=json) if job else _status(json=json)


def _status(*, json: bool) -> int:
    import os

    import msgspec
    from rich.console import Console

    from . import home, session
    from .status import show

    if not os.environ.get("RAY_ADDRESS") and home.load() is None:
        sys.stdout.write('{"running": false}\n' if json else "no local cluster is running\n")
        return 0
    with session.Session() as running:
        found = running.status()
        if json:
            line = {"running": True, "address": running.address, **_plain(found)}
            sys.stdout.write(msgspec.json.encode(line).decode())
            sys.stdout.write("\n")
        else:
            show(found, running.address, Console())
    return 0


def _plain(value: object) -> dict[str, object]:
    import msgspec

    plain: dict[str, object] = msgspec.to_builtins(value)
    return plain


@app.command
def route(
    text: Annotated[str, Parameter(help="the request; - reads it from the standard input", allow_leading_hyphen=True)],
    /,
    *,
    config: Annotated[Path | None, Parameter(help="configuration (default: understudy.yaml here)")] = None,
    model: Annotated[str, Parameter(help="the route that the request names; auto to have one chosen")] = "auto",
    tenant: Annotated[str, Parameter(help="who asks")] = "",
    urgency: Annotated[
        Literal["batch", "normal", "realtime"] | None, Parameter(help="how soon (default: told from the text)")
    ] = None,
    max_cost: Annotated[float | None, Parameter(help="dollars this call may cost")] = None,
    private: Annotated[bool, Parameter(help="the request must not leave", negative="")] = False,
    json: Annotated[bool, Parameter(help="print it as JSON")] = False,
) -> int:
    """Explain which model a request would go to, and why; calls nothing and starts nothing."""
    from .choose import Options, run

    if max_cost is not None and max_cost <= 0:
        raise UsageError("--max-cost must be more than 0; leave it out for no bound")
    options = Options(
        text, config=config, model=model, tenant=tenant, urgency=urgency, max_cost=max_cost, private=private, json=json
    )
    return run(options)


@app.command
def schema(*, flow: Annotated[bool, Parameter(help="of workflows instead", negative="")] = False) -> int:
    """Print the JSON Schema of understudy.yaml, or of workflows, for editors."""
    import orjson

    from .config_file import schema as config_schema
    from .flow_file import schema as flow_schema

    sys.stdout.write(
        orjson.dumps((flow_schema if flow else config_schema)(), option=orjson.OPT_INDENT_2).decode() + "\n"
    )
    return 0


@app.command
def import_litellm(
    source: Annotated[Path, Parameter(help="LiteLLM's config.yaml")],
    /,
    *,
    out: Annotated[Path, Parameter(help="file to write; - for standard output", allow_leading_hyphen=True)] = Path(
        "understudy.yaml"
    ),
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    force: Annotated[bool, Parameter(help="replace the file if it is there")] = False,
) -> int:
    """Write understudy.yaml from a LiteLLM configuration; names each setting that has no counterpart."""
    from .litellm.command import import_litellm as run

    return run(source, out, json=json, force=force)


@app.command
def simulate(
    *,
    port: Annotated[int, Parameter(help="port on the loopback interface; 0 picks one")] = 8089,
    settings: Annotated[Path | None, Parameter(help="all settings as a JSON file")] = None,
    seed: Annotated[int | None, Parameter(help="what latencies and faults are drawn from")] = None,
    key: Annotated[list[str] | None, Parameter(help="an accepted key (default: any)")] = None,
    any_model: Annotated[bool | None, Parameter(help="accept any model name")] = None,
    rpm: Annotated[int | None, Parameter(help="requests a window")] = None,
    tpm: Annotated[int | None, Parameter(help="tokens a window")] = None,
    concurrency: Annotated[int | None, Parameter(help="calls at once")] = None,
    window: Annotated[float | None, Parameter(help="the sliding window, seconds")] = None,
    latency: Annotated[float | None, Parameter(help="median latency, seconds")] = None,
    sigma: Annotated[float | None, Parameter(help="spread of the log-normal latency")] = None,
    tail_rate: Annotated[float | None, Parameter(help="share of slow calls")] = None,
    tail_factor: Annotated[float | None, Parameter(help="how many times slower those are")] = None,
) -> int:
    """Serve a simulated provider (OpenAI's, Anthropic's and Gemini's protocol): quotas, faults, a billing ledger."""
    import pydantic

    from .simulator import run, settings_from_options

    try:
        chosen = settings_from_options(
            settings,
            seed=seed,
            keys=None if key is None else tuple(key),
            any_model=any_model,
            rpm=rpm,
            tpm=tpm,
            concurrency=concurrency,
            window_s=window,
            latency_s=latency,
            sigma=sigma,
            tail_rate=tail_rate,
            tail_factor=tail_factor,
        )
    except OSError as error:
        raise UsageError(f"{settings}: {error.strerror}") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{settings or 'options'}: {where}: {first['msg']}") from None
    run(chosen, "127.0.0.1", port)
    return 0


@app.command
def drill(
    config: Annotated[Path, Parameter(help="configuration to drill; its providers are simulated, keys aren't used")],
    /,
    *,
    calls: Annotated[int, Parameter(help="calls of each scenario")] = 300,
    scenario: Annotated[str, Parameter(help="a scenario's name, a YAML file, or all")] = "all",
    route: Annotated[str | None, Parameter(help="model that is called (default: the first)")] = None,
    seed: Annotated[int, Parameter(help="what requests, latencies and faults are drawn from")] = 0,
    json: Annotated[bool, Parameter(help="print the outcome as JSON")] = False,
    speed: Annotated[float, Parameter(help="how many times as fast as in real time")] = 10.0,
) -> int:
    """Show what users would see while providers fail: scripted outages against simulated providers."""
    from .drill.run import Options
    from .drill.run import drill as run

    if not 1 <= calls <= 100_000:
        raise UsageError("--calls must be 1 to 100000")
    if not 0.1 <= speed <= 60:
        raise UsageError("--speed must be 0.1 to 60")
    return run(Options(config, calls, scenario, route, seed, json, speed))


def main() -> None:
    """Entry point of the console script: errors become one line and an exit code."""
    # What is begun early would find, or start, a cluster with another journal than the command names.
    if not any(word == "--journal" or word.startswith("--journal=") for word in sys.argv[1:]):
        begin_early(sys.argv[1:])
    _main()


def _main() -> None:
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
