"""What the command lines share: help that fits the terminal and says no default where there is none, and progress."""

import io
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, TextIO

import tyro

_PAUSE = 9.0  # seconds between two lines of progress


def without_default(metavar: str | None = None) -> Any:
    """Return the configuration of an argument whose help says in words what happens when it is not given.

    Args:
        metavar: What help shows in place of the value; None for the one that follows from the type.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


class _Help(io.StringIO):
    """Takes help for a screen, and says of itself what the screen says: whether it has colours, and its encoding."""

    def __init__(self, screen: TextIO) -> None:
        super().__init__()
        self._screen = screen

    def isatty(self) -> bool:
        """Return whether the screen is a terminal."""
        return self._screen.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The screen's encoding, which decides how boxes are drawn."""
        return self._screen.encoding


def parse(command: Any, **options: Any) -> Any:
    """Return what `tyro.cli` makes of the arguments; help is wrapped to the width of the terminal.

    Args:
        command: As `tyro.cli` takes it: what the command line calls or creates.
        options: Of `tyro.cli`.
    """
    screen = sys.stdout
    with redirect_stdout(_Help(screen)) as shown:
        try:
            return tyro.cli(command, **options)
        finally:
            screen.write(wrap_help(shown.getvalue(), shutil.get_terminal_size().columns))


def wrap_help(text: str, width: int) -> str:
    """Return help whose usage and description, which tyro prints as one line a paragraph, are wrapped."""
    lines = []
    for line in text.splitlines():
        if len(line) <= width or line[:1] in "╭│╰":
            lines.append(line)
        else:
            usage = line.startswith("usage:")
            spaced = re.sub(r"(?<=\w),(?=\w)", ", ", line) if usage else line
            lines += textwrap.wrap(spaced, width, subsequent_indent="  " * usage, break_on_hyphens=False)
    return "".join(f"{line}\n" for line in lines)


def print_progress(what: str, *, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """Return what prints a line of progress on standard error, at most one every few seconds.

    Args:
        what: What is done, such as "scored".
        clock: Gives seconds.
    """
    printed = clock()

    def show(done: int, total: int) -> None:
        nonlocal printed
        if clock() - printed >= _PAUSE:
            printed = clock()
            print(f"{what} {done} of {total}", file=sys.stderr, flush=True)

    return show
