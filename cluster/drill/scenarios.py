"""Scripted outages, as data: what happens to which account, and when."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Self

import orjson
from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ...protocols.errors import UsageError
from ...protocols.strict import Strict
from ...protocols.suggest import did_you_mean
from ..simulator.settings import Control, Faults, Latency, OutageKind

ALL: Final = "all"
MEDIAN_S: Final = 0.5
"""What an answer takes when all is well."""

CALM_LATENCY: Final = Latency(median_s=MEDIAN_S, sigma=0.4)


class Event(Strict):
    """From `at_s` on an account's provider behaves so; what is left out stays as it was."""

    at_s: float = Field(default=0.0, ge=0, description="seconds after the beginning")
    account: str | int = Field(default=0, description="its name, its place among the route's accounts, or `all`")
    outage: OutageKind | Literal["off"] | None = Field(default=None, description="every request fails so; off ends it")
    faults: Faults | None = Field(
        default=None, description="shares of the requests that fail, in place of those so far"
    )
    latency: Latency | None = Field(default=None, description="how long answers take, in place of what was so far")


class Scenario(Strict):
    """A stretch of time, the calls that are made in it, and what happens meanwhile."""

    name: str = Field(min_length=1, max_length=24, description="for the table")
    title: str = Field(default="", description="what happens, in a few words")
    seconds: float = Field(default=60.0, gt=0, le=3600, description="calls begin evenly over so long")
    stream: bool = Field(default=False, description="answers are streamed")
    events: tuple[Event, ...] = Field(default=(), description="what happens, in any order")

    @model_validator(mode="after")
    def _events_happen(self) -> Self:
        if any(event.at_s > self.seconds for event in self.events):
            raise ValueError(f"events: each happens within the {self.seconds:g} seconds")
        return self


def _during(begin_s: float, end_s: float, kind: OutageKind, faults: Faults | None = None) -> tuple[Event, ...]:
    return (Event(at_s=begin_s, outage=kind, faults=faults), Event(at_s=end_s, outage="off"))


def _faulty(faults: Faults) -> tuple[Event, ...]:
    return (Event(at_s=10.0, faults=faults), Event(at_s=50.0, faults=Faults()))


_SLOW: Final = Latency(median_s=MEDIAN_S, sigma=0.4, tail_rate=0.1, tail_factor=20.0)
CALM: Final = Scenario(name="calm", title="nothing happens")

BUILT_IN: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        one.name: one
        for one in (
            CALM,
            Scenario(
                name="provider-down",
                title="the first account answers 503 for 30 s",
                events=_during(15.0, 45.0, "error_503"),
            ),
            Scenario(
                name="429-storm",
                title="the first account answers 429, Retry-After 5 s, for 30 s",
                events=_during(15.0, 45.0, "refused_429", Faults(refused_after_s=5.0)),
            ),
            Scenario(
                name="slow-tail",
                title="10 % of the first account's answers take 20 times as long",
                events=(Event(at_s=10.0, latency=_SLOW), Event(at_s=50.0, latency=CALM_LATENCY)),
            ),
            Scenario(
                name="malformed",
                title="30 % of the first account's answers are broken JSON",
                events=_faulty(Faults(malformed=0.3)),
            ),
            Scenario(
                name="mid-stream-cuts",
                title="30 % of the first account's streams break in the middle",
                stream=True,
                events=_faulty(Faults(cut=0.3)),
            ),
            Scenario(
                name="auth-revoked",
                title="the first account's key is refused from 20 s on",
                events=(Event(at_s=20.0, outage="auth"),),
            ),
        )
    }
)


def choose(wanted: str) -> tuple[Scenario, ...]:
    """The scenarios of that name (`all`: each in turn), or of that file; the calm one is before them, to compare with.

    Raises:
        UsageError: there is no such scenario, or the file says something that isn't understood.
    """
    if wanted == ALL:
        return tuple(BUILT_IN.values())
    if wanted in BUILT_IN:
        chosen = BUILT_IN[wanted]
    elif Path(wanted).suffix in (".yaml", ".yml", ".json") or Path(wanted).exists():
        chosen = read(Path(wanted))
    else:
        known = [*BUILT_IN, ALL]
        raise UsageError(
            f"--scenario {wanted!r}: there is none{did_you_mean(wanted, known)}; "
            f"known: {', '.join(known)}, or a YAML file"
        )
    calm = CALM.model_copy(update={"seconds": chosen.seconds, "stream": chosen.stream})
    return (calm,) if chosen.name == CALM.name else (calm, chosen)


def read(path: Path) -> Scenario:
    """The scenario in a YAML file (JSON is YAML, too). Raises `UsageError` that names the file and the key."""
    try:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return Scenario.model_validate_json(orjson.dumps(value), strict=True)
    except OSError as error:
        raise UsageError(f"--scenario {path}: {error.strerror}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{path}{place}: not YAML: {error.problem}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the scenario"
        raise UsageError(f"{path}: {where}: {first['msg']}") from None
    except (YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        raise UsageError(f"{path}: not a scenario in YAML: write name, seconds and events") from None


def accounts_hit(event: Event, accounts: tuple[str, ...]) -> tuple[str, ...]:
    """The accounts that an event happens to. Raises `UsageError` for one that is not among them."""
    if event.account == ALL:
        return accounts
    if isinstance(event.account, int) and 0 <= event.account < len(accounts):
        return (accounts[event.account],)
    if event.account in accounts:
        return (str(event.account),)
    raise UsageError(f"an event's account {event.account!r} is none of the route's: {', '.join(accounts)}")


def command(event: Event, speed: float) -> Control:
    """What the provider's stand-in is told, played `speed` times as fast."""
    return Control(
        outage=event.outage,
        faults=None if event.faults is None else faster_faults(event.faults, speed),
        latency=None if event.latency is None else faster(event.latency, speed),
    )


def faster_faults(faults: Faults, speed: float) -> Faults:
    """The same faults, which tell to wait a shorter time."""
    return faults.model_copy(update={"refused_after_s": faults.refused_after_s / speed})


def faster(latency: Latency, speed: float) -> Latency:
    """The same latency, played faster."""
    seconds = {"median_s": latency.median_s / speed, "per_output_token_s": latency.per_output_token_s / speed}
    return latency.model_copy(update=seconds)
