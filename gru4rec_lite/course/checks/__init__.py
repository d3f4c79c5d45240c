"""Checks of the exercises, one module a lesson: they say what is wrong with an answer.

    from gru4rec_lite.course.checks import lesson_04 as check
    check.reset_mask(my_reset_mask)

A check calls the learner's function on hand-made and on random examples, the smallest
first, and stops at the first that fails. ``checking`` holds what they share.
"""

import importlib
import inspect
import pkgutil

from .checking import CheckFailed

__all__ = ["CheckFailed", "all_checks"]


def all_checks() -> dict:
    """Every check by the number of its exercise: {"1.1": function, ...}."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("lesson_"):
            lesson = importlib.import_module(f"{__name__}.{module.name}")
            checks = filter(inspect.isfunction, vars(lesson).values())
            found |= {c.number: c for c in checks if hasattr(c, "number")}
    return dict(sorted(found.items(), key=lambda pair: as_numbers(pair[0])))


def as_numbers(number: str) -> tuple:
    """Make (4, 10) of "4.10", which comes after "4.9"."""
    return tuple(map(int, number.split(".")))
