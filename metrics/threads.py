"""Limit how long OpenMP's threads spin while they wait."""

import os

_SPINS = "10000"  # of libgomp's busy-wait loop, microseconds; its default is unlimited


def limit_spinning() -> None:
    """Bound the busy-waiting of GNU OpenMP's threads in this process and its children, unless the user has set it.

    By default libgomp's threads spin without limit while they wait for each other. On a machine that other programs
    use too, the core on which a waited-for thread should run is then taken by a spinning one: small training steps
    became nine times slower. libgomp reads the variable once, so this must run before torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
