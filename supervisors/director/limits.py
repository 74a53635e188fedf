"""How many jobs of a tenant may run at once, as a configuration says."""

import msgspec


class _Tenant(msgspec.Struct, frozen=True):
    jobs: int | None = None


class _Config(msgspec.Struct, frozen=True):
    tenants: dict[str, _Tenant] = {}


def limits_of(config: bytes) -> dict[str, int | None]:
    """By tenant that the configuration (JSON) names; None for no limit. One that can't be read names none.

    Only this is read, since 1,000 jobs may be handed in at once; who runs them reads all of it.
    """
    try:
        found = msgspec.json.decode(config, type=_Config)
    except msgspec.MsgspecError:
        return {}
    return {name: tenant.jobs for name, tenant in found.tenants.items()}
