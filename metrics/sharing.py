"""Share intermediate results, such as histograms and window moments, among the metrics of one image triple.

A function marked `@computed_once` is called like any other. Inside `sharing()` its results are kept and returned
again for the same arrays and options, so that metrics which need the same maps compute them once without knowing of
each other. Outside `sharing()` it computes each time and nothing is kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# A context variable is local to a thread: two threads that score at once share nothing.
_results: ContextVar[dict[Any, tuple[Any, Any]] | None] = ContextVar("results", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Keep what functions marked `computed_once` return until the context ends."""
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def computed_once(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compute a function once for the same arrays and options inside `sharing()`.

    Arrays are recognised by identity, other arguments by value. Returned arrays become read-only, because several
    metrics see them.
    """

    @wraps(function)
    def compute_or_reuse(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        results = _results.get()
        if results is None:
            return function(*args, **kwargs)
        key = (function, *map(_identify, args), *((name, _identify(value)) for name, value in sorted(kwargs.items())))
        if key not in results:
            # The arguments are kept as well: while they live, no other array can have their identity.
            results[key] = (_protect(function(*args, **kwargs)), (args, kwargs))
        kept: Result = results[key][0]
        return kept

    return compute_or_reuse


def _identify(value: Any) -> Any:
    return ("array", id(value)) if isinstance(value, np.ndarray) else value


def _protect(result: Any) -> Any:
    for array in result if isinstance(result, tuple) else (result,):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return result
