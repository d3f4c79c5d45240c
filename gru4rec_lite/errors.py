"""What goes wrong, and the checks that say so.

Every error that bad input can cause is a `GRU4RecError` with one line of text: where
it is, what is wrong, what was expected.  The checks below follow scikit-learn's
manner: they name the argument, the value received and the values allowed.
"""

from collections.abc import Iterable
from numbers import Integral, Real


class GRU4RecError(ValueError):
    """Base of all errors that this package raises on bad input."""


class DataError(GRU4RecError):
    """A click log, an item ID or a set of sessions that cannot be used."""


class ParameterError(GRU4RecError):
    """An argument whose value is not allowed."""


class ModelFileError(GRU4RecError):
    """A model directory that is missing, damaged or not a model."""


def check_integer(name: str, value, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int; ParameterError unless minimum <= value <= maximum."""
    allowed = f"an integer of at least {minimum}"
    if maximum is not None:
        allowed = f"an integer from {minimum} to {maximum}"
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ParameterError(f"{name}={value!r} is not allowed; expected {allowed}")
    if value < minimum or (maximum is not None and value > maximum):
        raise ParameterError(f"{name}={value!r} is not allowed; expected {allowed}")
    return int(value)


def check_number(
    name: str,
    value,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a float; ParameterError unless finite and within bounds.

    `minimum` and `maximum` are allowed themselves, `above` and `below` are not.
    """
    number = float("nan")
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
    bounds = {
        "at least": (minimum, lambda bound: number >= bound),
        "above": (above, lambda bound: number > bound),
        "at most": (maximum, lambda bound: number <= bound),
        "below": (below, lambda bound: number < bound),
    }
    bounds = {word: pair for word, pair in bounds.items() if pair[0] is not None}
    finite = float("-inf") < number < float("inf")  # false for NaN, too
    if not finite or not all(holds(bound) for bound, holds in bounds.values()):
        allowed = " and ".join(f"{word} {bound}" for word, (bound, _) in bounds.items())
        expected = f"a finite number {allowed}".rstrip()
        raise ParameterError(f"{name}={value!r} is not allowed; expected {expected}")
    return number


def check_choice(name: str, value, choices: Iterable):
    """Return `value`; ParameterError unless it is one of `choices`."""
    choices = list(choices)
    if not any(type(value) is type(c) and value == c for c in choices):
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ParameterError(f"{name}={value!r} is not allowed; expected {allowed}")
    return value
