"""A simulated language-model provider over real sockets: the judge of what the rest of the project does.

It speaks the protocols of OpenAI (and Azure), Anthropic and Gemini, holds strict sliding-window quotas, fails by
seed, and keeps its own ledger. It imports nothing of the project, so it cannot share the project's errors.
"""

from .judge import Summary, WindowCheck, summarise
from .ledger import Ledger, Record
from .process import SimulatorProcess
from .server import Running, run, serve
from .settings import (
    Answer,
    Cache,
    Control,
    FailNext,
    FaultKind,
    Faults,
    Latency,
    ModelSettings,
    Outage,
    Quota,
    RefuseNext,
    Settings,
    load_settings,
    settings_from_options,
)

__all__ = [
    "Answer",
    "Cache",
    "Control",
    "FailNext",
    "FaultKind",
    "Faults",
    "Latency",
    "Ledger",
    "ModelSettings",
    "Outage",
    "Quota",
    "Record",
    "RefuseNext",
    "Running",
    "Settings",
    "SimulatorProcess",
    "Summary",
    "WindowCheck",
    "load_settings",
    "run",
    "serve",
    "settings_from_options",
    "summarise",
]
