"""Worker processes, by joblib, without its words about work that nobody wants any more."""

import atexit
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from joblib import Parallel

Job = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]  # as `joblib.delayed` makes it
Runner = Callable[[Iterable[Job]], Iterator[Any]]
_elsewhere: list[Runner] = []


@contextmanager
def elsewhere(runner: Runner) -> Iterator[None]:
    """Have something else than this machine's processes do the jobs for as long as the context lasts.

    Args:
        runner: Yields what jobs give, in their order.
    """
    _elsewhere.append(runner)
    try:
        yield
    finally:
        _elsewhere.pop()


def are_elsewhere() -> bool:
    """Return whether jobs are done elsewhere."""
    return bool(_elsewhere)


def in_workers(jobs: Iterable[Job], processes: int, *, ordered: bool = True) -> Iterator[Any]:
    """Yield what jobs give, as it gets ready; closed before the end, the work on the rest is given up.

    Args:
        jobs: Made by `joblib.delayed`.
        processes: How many; 1 works in this one.
        ordered: In the jobs' order.
    """
    if _elsewhere:
        yield from _elsewhere[-1](jobs)
        return
    with _without_interrupts():
        results = Parallel(n_jobs=processes, return_as="generator" if ordered else "generator_unordered")(jobs)
    try:
        for each in results:  # noqa: UP028 - `yield from` would close them before the warning is turned off
            yield each
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that tasks were cancelled
            results.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in this thread; processes that start meanwhile never get it, and die without a traceback of theirs.

    They are ended by this one, which gets it afterwards.
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
