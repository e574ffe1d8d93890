"""Worker processes: of this machine, by joblib, or of a Dask cluster, behind one interface that is passed down."""

import atexit
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, cpu_count, delayed

from metrics.errors import InputError

_WAIT = 20  # seconds for a scheduler to answer
_PATIENCE, _LOOKS = 3, 5  # seconds between two looks at a silent cluster; so many without workers, and it is given up


class Workers:
    """The processes of this machine.

    Attributes:
        number: How many; 1 works in this process.
        remote: Whether they may be on other machines, with working folders of their own.
    """

    remote = False

    def __init__(self, number: int | None = None) -> None:
        """Take a number of processes; None for one a core."""
        self.number = number or cpu_count()

    def starmap(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, ordered: bool = True
    ) -> Iterator[Any]:
        """Yield a function's result for each tuple of arguments as it gets ready.

        Closed before the end, the work on the rest is given up.

        Args:
            function: Importable in another process.
            arguments: Its positional arguments.
            ordered: Whether results come in the order of the arguments.
        """
        with _without_interrupts():
            results = Parallel(
                n_jobs=max(min(self.number, len(arguments)), 1),
                return_as="generator" if ordered else "generator_unordered",
            )(delayed(function)(*given) for given in arguments)
        try:
            for result in results:  # noqa: UP028 - `yield from` would close them before the warning is turned off
                yield result
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that tasks were cancelled
                results.close()


class ClusterWorkers(Workers):
    """The workers of a Dask scheduler. One that dies loses nothing: the scheduler gives its work to another one."""

    remote = True

    def __init__(self, client: Any) -> None:
        """Take all workers that a `dask.distributed.Client` has."""
        super().__init__(sum(client.ncores().values()))
        self._client = client

    def starmap(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, ordered: bool = True
    ) -> Iterator[Any]:
        """Yield a function's results in the order of the arguments; see `Workers.starmap`."""
        # Not by joblib's backend for Dask, which never wakes when a job is lost with its workers.
        from dask.distributed import CancelledError, KilledWorker

        address = self._client.scheduler.address
        futures = [self._client.submit(function, *given, pure=False) for given in arguments]
        try:
            for future in futures:
                yield self._result(future)
        except KilledWorker as error:
            raise InputError(
                f"--cluster {address}: several workers died at the same image; give them more memory (see their own "
                "messages), and run again"
            ) from error
        except (CancelledError, OSError) as error:  # OSError: the connection's
            raise InputError(f"--cluster {address}: the scheduler is gone; start it, and run again") from error
        finally:
            self._client.cancel(futures)

    def _result(self, future: Any) -> Any:
        empty = 0
        while empty < _LOOKS:  # workers that died may be restarted
            try:
                return future.result(timeout=_PATIENCE)
            except TimeoutError:
                empty = 0 if self._client.ncores() else empty + 1
        address = self._client.scheduler.address
        raise InputError(f"--cluster {address}: all workers are gone; start `dask worker {address}`, and run again")


def as_workers(workers: "int | Workers | None") -> Workers:
    """Return workers from a number of processes; None for one a core."""
    return workers if isinstance(workers, Workers) else Workers(workers)


@contextmanager
def open_workers(number: int | None = None, cluster: str | None = None) -> Iterator[Workers]:
    """Give workers for as long as the context lasts.

    Args:
        number: Processes of this machine; None for one a core.
        cluster: Address of a Dask scheduler, such as "tcp://host:8786", whose workers do the work instead.

    Raises:
        InputError: Dask is not installed, no scheduler answers, the cluster has no workers, or a number was given
            beside a cluster, which takes all its workers.
    """
    if cluster is None:
        yield Workers(number)
        return
    if number is not None:
        raise InputError(
            f"--workers {number} counts processes of this machine, and --cluster {cluster} uses all workers that the "
            "scheduler has; leave --workers out, or start fewer `dask worker`."
        )
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise InputError("--cluster needs Dask: pip install 'ivif-benchmark[cluster]'") from error
    try:
        client = Client(cluster, timeout=_WAIT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:160]
        raise InputError(
            f"--cluster {cluster}: no Dask scheduler answers there ({reason}); start `dask scheduler`"
        ) from error
    with client, _without_logs("distributed", "tornado", "asyncio"):
        if not client.ncores():
            raise InputError(f"--cluster {cluster}: the scheduler has no workers; start `dask worker {cluster}`")
        yield ClusterWorkers(client)


@contextmanager
def _without_logs(*names: str) -> Iterator[None]:
    """Silence loggers, such as Dask's on workers that come and go: what matters is an error of one line."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in this thread, so that processes started meanwhile never get it and print no traceback.

    This process gets it afterwards and ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@atexit.register
def _await_feeders() -> None:
    """Wait for the threads that feed joblib's workers, which end when told so, before this runs.

    Nobody else waits for them, and one cut off in its clean-up has joblib's tracker warn of a leaked semaphore.
    """
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(1)
