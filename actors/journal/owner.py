"""Which cluster a job belongs to."""


def cluster_id() -> str:
    """The id of the Ray cluster this process is attached to: another each time a cluster is started.

    Raises:
        RuntimeError: this process is attached to none.
    """
    import ray  # noqa: PLC0415 - 0.3 s; only who has a cluster asks
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # noqa: PLC0415 - a compiled module

    if not ray.is_initialized():
        raise RuntimeError("this process is attached to no Ray cluster")
    return str(GcsClient(address=ray.get_runtime_context().gcs_address).cluster_id.hex())
