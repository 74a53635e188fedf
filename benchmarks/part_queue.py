"""The function that the jobs of `benchmarks.jobqueue` run: it notes that it ran, and fails where it is told to."""

import os
import time


def record(book: str, job: str, *, poison: bool = False) -> str:
    """Adds a line (job, wall-clock seconds) to the file `book`, which all Mappers share; gives back the job.

    Raises:
        ValueError: `poison` is set.
    """
    descriptor = os.open(book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{job} {time.time():.6f}\n".encode())
    finally:
        os.close(descriptor)
    if poison:
        raise ValueError("this job never succeeds")
    return job
