"""Child specifications: data, checked before anything is started."""

from typing import Any, Literal, Protocol

import msgspec

from ..actors.provider.naming import provider_name
from ..protocols.config import Config
from ..protocols.errors import ConfigError
from ..protocols.jobs import EnsureReply

Role = Literal["supervisor", "provider", "mapper", "reducer", "journal"]

SUPERVISOR = "supervisor-0"
DIRECTOR = "director"
JOURNAL = "journal"

_ACTORS: dict[Role, str] = {
    "supervisor": "understudy.supervisors.supervisor.actor:Supervisor",
    "provider": "understudy.actors.provider.actor:Provider",
    "mapper": "understudy.actors.mapper.actor:Mapper",
    "reducer": "understudy.actors.reducer.actor:Reducer",
    "journal": "understudy.actors.journal.actor:JournalActor",
}


class ChildSpec(msgspec.Struct, frozen=True):
    """How to start one child.

    Attributes:
        name: unique in the namespace; its successor has the same.
        role: what it does.
        actor: import path `module:Class`.
        settings: further arguments of the class.
        restart: `permanent` is always restarted, `temporary` never.
    """

    name: str
    role: Role
    actor: str
    settings: dict[str, Any] = {}
    restart: Literal["permanent", "temporary"] = "permanent"


class Spawner(Protocol):
    """Starts actors; the one place that knows where they run. Handed to the Director by the cluster layer."""

    def start(self, spec: ChildSpec) -> Any:
        """The handle of the actor of that name: the living one, or a new one. Blocks; call it in a thread."""

    def find(self, name: str) -> Any:
        """The handle of the living actor of that name, or None. Blocks; call it in a thread."""

    def wake(self) -> bool:
        """Has the actor that is being made, whose constructor calls this, begin by itself.

        True where it takes the place of one that died.
        """

    def kill(self, handle: Any) -> None:
        """Ends an actor at once."""


def check(specs: list[ChildSpec]) -> None:
    """Raises `ConfigError` for a specification that could not be started."""
    names = [spec.name for spec in specs]
    for spec in specs:
        if names.count(spec.name) > 1:
            raise ConfigError(f"two children are called {spec.name!r}")
        if spec.actor.count(":") != 1:
            raise ConfigError(f"{spec.name}: {spec.actor!r} is not module:Class")


def mapper_names(count: int) -> tuple[str, ...]:
    """The names of the first `count` mappers."""
    return tuple(f"mapper-{number}" for number in range(count))


def core_children(mappers: int, reducers: int = 1, preload: tuple[str, ...] = ()) -> list[ChildSpec]:
    """What every job needs, in the order it is needed; later children depend on earlier ones.

    `preload` names what Mappers load while they wait for their first slice, as `module:function`.
    """
    return [
        ChildSpec(SUPERVISOR, "supervisor", _ACTORS["supervisor"]),
        *(
            ChildSpec(name, "mapper", _ACTORS["mapper"], {"preload": preload} if preload else {})
            for name in mapper_names(mappers)
        ),
        *(ChildSpec(f"reducer-{number}", "reducer", _ACTORS["reducer"]) for number in range(reducers)),
    ]


def journal_child(url: str) -> ChildSpec:
    """The Journal; `url` says where it keeps its rows, and may refer to the environment."""
    return ChildSpec(JOURNAL, "journal", _ACTORS["journal"], {"url": url})


def standard_reply(mappers: int) -> EnsureReply:
    """What a Director would answer for a configuration without Providers and secrets."""
    return EnsureReply(SUPERVISOR, mapper_names(mappers), ("reducer-0",), {})


def provider_children(config: Config) -> dict[str, ChildSpec]:
    """A Provider for each account that needs one, by account; the embedded one has no quota to hold."""
    return {
        account: ChildSpec(
            provider_name(account, settings),
            "provider",
            _ACTORS["provider"],
            {
                "account": account,
                "settings": settings.model_dump_json(exclude_defaults=True).encode(),
                "fresh": True,
            },
        )
        for account, settings in config.accounts.items()
        if settings.kind != "embedded"
    }
