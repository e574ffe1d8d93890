"""The error for input that cannot be used; its message says what to do."""


class InputError(ValueError):
    """Raised for input that a person can correct: a missing file, a wrong size, an unknown name.

    The message is one line that says what, where, what was expected, what was found and what to do.
    Command lines print it without a traceback and end with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


def plain(text: str) -> str:
    """Return a text as one line that a terminal can only print: what is not printable becomes its escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def unknown(kind: str, name: object, known: list[str] | tuple[str, ...]) -> InputError:
    """Return the error for an unknown name; it lists the known ones."""
    return InputError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
