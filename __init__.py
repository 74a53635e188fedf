"""understudy: an actor system on Ray that orchestrates calls to language models.

The public names are found when they are first asked for: neither `understudy --help` nor a worker imports what it does
not use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster.api import Result, arun, arun_many, close, load, run, run_many
    from .cluster.api_jobs import Job, jobs, result, results, submit
    from .protocols.config import Config
    from .protocols.errors import ConfigError, StepFailed, UnderstudyError, UsageError
    from .protocols.jobs import ApprovalAsk, Verdict
    from .protocols.workflow import Flow
    from .protocols.workflow.build import (
        approve,
        budget,
        call,
        chain,
        consensus,
        each,
        escalate,
        evaluate,
        fallback,
        function,
        ladder,
        map_reduce,
        orchestrate,
        parallel,
        retry,
        route,
        timeout,
        use,
        value,
    )

__version__ = "0.1.0"

_API = ("Result", "arun", "arun_many", "close", "load", "run", "run_many")
_JOBS = ("Job", "jobs", "result", "results", "submit")
_BUILD = (
    *("approve", "budget", "call", "chain", "consensus", "each", "escalate", "evaluate", "fallback", "function"),
    *("ladder", "map_reduce", "orchestrate", "parallel", "retry", "route", "timeout", "use", "value"),
)
_ERRORS = ("ConfigError", "StepFailed", "UnderstudyError", "UsageError")
_WHERE = {
    **dict.fromkeys(_API, ".cluster.api"),
    **dict.fromkeys(_JOBS, ".cluster.api_jobs"),
    **dict.fromkeys(_BUILD, ".protocols.workflow.build"),
    **dict.fromkeys(_ERRORS, ".protocols.errors"),
    **dict.fromkeys(("ApprovalAsk", "Verdict"), ".protocols.jobs"),
    "Config": ".protocols.config",
    "Flow": ".protocols.workflow",
}

__all__ = [
    "ApprovalAsk",
    "Config",
    "ConfigError",
    "Flow",
    "Job",
    "Result",
    "StepFailed",
    "UnderstudyError",
    "UsageError",
    "Verdict",
    "approve",
    "arun",
    "arun_many",
    "budget",
    "call",
    "chain",
    "close",
    "consensus",
    "each",
    "escalate",
    "evaluate",
    "fallback",
    "function",
    "jobs",
    "ladder",
    "load",
    "map_reduce",
    "orchestrate",
    "parallel",
    "result",
    "results",
    "retry",
    "route",
    "run",
    "run_many",
    "submit",
    "timeout",
    "use",
    "value",
]


def __getattr__(name: str) -> Any:
    """A public name, from where it lives."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_WHERE[name], __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
