"""Errors of pydantic's dataclasses in one line."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from pydantic import ValidationError

from metrics.errors import InputError, unknown

Config = TypeVar("Config")


def one_line_errors(config: type[Config]) -> type[Config]:
    """Let a pydantic dataclass raise InputError in one line: its name, the field, what was expected, what it got.

    What was expected is the field's description where it has one, and pydantic's own words otherwise.
    """
    initialise: Callable[..., None] = config.__init__

    @wraps(initialise)
    def checked(self: Any, *arguments: Any, **values: Any) -> None:
        try:
            initialise(self, *arguments, **values)
        except ValidationError as error:
            raise _describe(config, values, error) from None

    config.__init__ = checked  # type: ignore[method-assign]
    return config


def _describe(config: Any, values: dict[str, Any], error: ValidationError) -> InputError:
    first, name, fields = error.errors()[0], config.__name__, config.__pydantic_fields__
    if not first["loc"]:  # of a check of several fields, whose message begins with one of them
        return InputError(f"{name}.{first['msg'].removeprefix('Value error, ')}")
    field = str(first["loc"][0])
    if field not in fields:
        return unknown(f"field of {name}", field, tuple(fields))
    expected = fields[field].description or first["msg"].removeprefix("Input should be ")
    return InputError(f"{name}.{field}: expected {expected}, got {values.get(field)!r:.80}")
