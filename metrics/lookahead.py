"""Read and write files in background threads while the calling thread computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from joblib import cpu_count

Item = TypeVar("Item")
Made = TypeVar("Made")
_MOST = 8  # threads: more images at once would only fill the memory


def threads(workers: int | None) -> int:
    """Return how many threads work ahead: as many as wanted or, with None, one a core; eight at most."""
    return min(workers or cpu_count(), _MOST)


def lookahead(make: Callable[[Item], Made], items: Iterable[Item], workers: int | None = None) -> Iterator[Made]:
    """Yield what `make` gives for each item, in their order; a few are made in threads while the caller uses one.

    The items are drawn in the caller's thread. Where they are themselves what comes of some work, that work is done
    there, and `make` finishes the last ones in the background.

    Args:
        make: Reads a file, say, or writes one; its exceptions come at the item's turn.
        items: As many are drawn beforehand as there are threads.
        workers: As `threads` takes it; None for one a core.
    """
    waiting, number = iter(items), threads(workers)
    with ThreadPoolExecutor(number) as pool:
        making = deque(pool.submit(make, item) for item in islice(waiting, number))
        while making:
            made = making.popleft().result()
            making.extend(pool.submit(make, item) for item in islice(waiting, 1))
            yield made
