"""Where the worker processes run: on this machine, or on a Dask cluster that shares its disks."""

from collections.abc import Iterator
from contextlib import contextmanager

from joblib import parallel_config

from metrics.errors import InputError

_WAIT = 20  # seconds for a scheduler to answer


@contextmanager
def workers_on(address: str | None, workers: int | None) -> Iterator[int | None]:
    """Run joblib's work on a Dask cluster for as long as the context lasts; give the number of processes.

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
    if workers is not None:  # joblib would use them all
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
    with client:
        cores = sum(client.ncores().values())
        if not cores:
            raise InputError(f"--cluster {address}: the scheduler has no workers; start `dask worker {address}`")
        with parallel_config("dask", client=client):
            # One process would stay on this machine.
            yield max(2, cores)
