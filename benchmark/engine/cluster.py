"""Where the worker processes run: on this machine, or on a Dask cluster that shares its disks."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from metrics.errors import InputError
from metrics.workers import Job, elsewhere

_WAIT = 20  # seconds for a scheduler to answer
_PATIENCE, _LOOKS = 3, 5  # seconds between two looks at a silent cluster; so many without workers, and it is given up


@contextmanager
def workers_on(address: str | None, workers: int | None) -> Iterator[int | None]:
    """Have a Dask cluster do what worker processes do for as long as the context lasts; give their number.

    A worker that dies loses nothing: the scheduler gives its work to another one.

    Args:
        address: The scheduler's, such as "tcp://host:8786"; None for this machine.
        workers: Processes that were asked for; None for one a core. A cluster takes them all.

    Raises:
        InputError: Dask is not installed, no scheduler answers, the cluster has no workers, or fewer were asked for.
    """
    if address is None:
        yield workers
        return
    if workers is not None:
        raise InputError(
            f"--workers {workers} counts processes of this machine, and --cluster {address} uses all workers that the "
            "scheduler has; leave --workers out, or start fewer `dask worker`."
        )
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise InputError("--cluster needs Dask: pip install 'ivif-benchmark[cluster]'") from error
    try:
        client = Client(address, timeout=_WAIT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        said = str(error).splitlines()[0][:160]
        raise InputError(
            f"--cluster {address}: no Dask scheduler answers there ({said}); start `dask scheduler`"
        ) from error
    with client, _quiet():
        cores = sum(client.ncores().values())
        if not cores:
            raise InputError(f"--cluster {address}: the scheduler has no workers; start `dask worker {address}`")
        with elsewhere(partial(_done_by, client)):
            yield cores


def _done_by(client: Any, jobs: Iterable[Job]) -> Iterator[Any]:
    """Yield what a cluster's workers make of jobs, in their order.

    Not by joblib's backend for Dask, which never wakes when a job is lost with its workers.
    """
    from dask.distributed import CancelledError, KilledWorker

    address = client.scheduler.address
    futures = [client.submit(function, *given, **options, pure=False) for function, given, options in jobs]
    try:
        for future in futures:
            yield _result(client, future)
    except KilledWorker as error:
        raise InputError(
            f"--cluster {address}: several workers died at the same image; give them more memory (see their own "
            "messages), and run again"
        ) from error
    except (CancelledError, OSError) as error:  # OSError: the connection's
        raise InputError(f"--cluster {address}: the scheduler is gone; start it, and run again") from error
    finally:
        client.cancel(futures)


def _result(client: Any, future: Any) -> Any:
    empty = 0
    while empty < _LOOKS:  # workers that died may be on their way back
        try:
            return future.result(timeout=_PATIENCE)
        except TimeoutError:
            empty = 0 if client.ncores() else empty + 1
    address = client.scheduler.address
    raise InputError(f"--cluster {address}: all workers are gone; start `dask worker {address}`, and run again")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Dask logs of workers that come and go: what matters is said in one line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
