"""What the command lines share: help that fits the terminal and says no default where there is none, and progress."""

import io
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial, wraps
from inspect import isfunction
from typing import Any, TextIO

import tyro

from metrics.errors import plain

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
    """Return what `tyro.cli` makes of the arguments; for a function, what calls it with them.

    Help is wrapped to the width of the terminal; what is wrong with an argument is said in one line on standard error.

    Args:
        command: As `tyro.cli` takes it: what the command line calls or creates.
        options: Of `tyro.cli`.

    Raises:
        SystemExit: Help was asked for (0), or an argument cannot be used (2).
    """
    screen, errors = sys.stdout, sys.stderr
    with redirect_stdout(_Help(screen)) as shown, redirect_stderr(_Help(errors)) as complaints:
        try:
            return tyro.cli(_postponed(command) if isfunction(command) else command, **options)
        finally:
            screen.write(wrap_help(shown.getvalue(), shutil.get_terminal_size().columns))
            errors.write(shorten_complaint(complaints.getvalue()))


def _postponed(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def postpone(*arguments: Any, **named: Any) -> Any:
        return partial(function, *arguments, **named)

    return postpone


def shorten_complaint(box: str) -> str:
    """Return tyro's box about an argument as one line: what is wrong, what was perhaps meant, where the help is."""
    sections = _sections(box)
    if len(sections) < 2:
        return box
    wrong = re.sub(r"'None', |, 'None'| \(required\)", "", sections[0][0])
    meant = [line.strip() for section in sections[1:] for line in section if re.match(r" {4}-", line)]
    known = [line for section in sections[1:] for line in section if line.startswith("Available subcommands:")]
    program = re.search(r"(?:run|see):? (.*?) *--help", sections[-1][0])
    where = program[1] if program else ""
    hint = f"; perhaps you meant {meant[0]}" if meant else ""
    if misplaced := re.findall(r"(\S+) \(applied to (.*?)\)", wrong):
        where, hint = misplaced[0][1], ""
        wrong = f"Unrecognized options of {where}: {' '.join(option for option, _ in misplaced)}"
    elif value := re.match(r"Error parsing (\S+):", wrong):
        given = re.search(r"from \[(.*?)\]\.|: ('[^']*')$", wrong)
        wrong = f"{value[1]} {(given[1] or given[2]) if given else ''}".strip() + ": not understood"
        hint = f"; expected {meant[0]}" if meant else ""
    elif known:
        hint = f"; known: {sections[1][0].partition(': ')[2]}"
    return f"error: {plain(wrong.rstrip('.') + hint)}" + (f"; see {where} --help" if where else "") + "\n"


def _sections(box: str) -> list[list[str]]:
    """Return the sections of a box, each its text in one line and then its lines; none where it is no box."""
    sections: list[list[str]] = [[]]
    head, *lines = re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines() or [""]
    if head[:1] not in ("╭", " "):
        return []
    for line in lines:
        inner = line[2:].rstrip(" │")  # without the border, which is blank where the encoding has none
        if re.fullmatch(r"\W*[─-]{8,}\W*", line):
            sections.append([])
        elif inner:
            sections[-1].append(inner)
    return [[" ".join(" ".join(section).split()), *section] for section in sections if section]


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
