"""Worker processes, by joblib, without its words about work that nobody wants any more."""

import atexit
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from joblib import Parallel

Job = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]  # as `joblib.delayed` makes it


def in_workers(jobs: Iterable[Job], processes: int, *, ordered: bool = True) -> Iterator[Any]:
    """Yield what jobs give, as it gets ready; closed before the end, the work on the rest is given up.

    Args:
        jobs: Made by `joblib.delayed`.
        processes: How many; 1 works in this one.
        ordered: In the jobs' order.
    """
    results = Parallel(n_jobs=processes, return_as="generator" if ordered else "generator_unordered")(jobs)
    try:
        for each in results:  # noqa: UP028 - `yield from` would close them before the warning is turned off
            yield each
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that tasks were cancelled
            results.close()


@atexit.register
def _await_feeders() -> None:
    """Wait for the threads that feed joblib's workers, which end when told so, before this runs.

    Nobody else waits for them, and one cut off in its clean-up has joblib's tracker warn of a leaked semaphore.
    """
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(1)
