"""What all checks share: ask the learner's function, compare, tell what is wrong.

The message is written for the learner: what is wrong, at which place, on which example,
with expected and given side by side (the manner of Tensor Puzzles and of ARENA).
"""

import copy
import functools
import linecache
import traceback

import numpy as np
import pandas as pd
import torch

from .. import record

SHOWN = 8  # differing places, or numbers of an argument, that a message shows


class CheckFailed(AssertionError):
    """An answer is not right. In a notebook only the message is shown."""

    def _render_traceback_(self):  # IPython asks for this
        return [f"✗ {self}"]


def exercise(number: str, prediction: bool = False):
    """Make a function of the learner's answer the check of exercise ``number``.

    The function raises CheckFailed when the answer is wrong. A pass is printed, and
    kept for ``course.progress()``. prediction : the answer is a function without
    arguments that returns one of a few given values.
    """

    def register(function):
        name = function.__name__

        @functools.wraps(function)
        def check(answer):
            if not callable(answer):
                raise CheckFailed(
                    f"check.{name} wants the function itself, without calling it: "
                    f"check.{name}({name}); it was given {type(answer).__name__}."
                )
            try:
                function(answer)
            except CheckFailed:
                raise
            except Exception as error:
                raise CheckFailed(
                    f"{name_of(answer)} gives something that the check cannot use "
                    f"({type(error).__name__}: {error}). Compare what it returns with "
                    "the type and the shape that the exercise asks for."
                ) from error
            record.keep(number)
            print(f"✓ Exercise {number}, {name}: right.")

        check.number, check.prediction = number, prediction
        return check

    return register


def name_of(answer) -> str:
    return f"`{getattr(answer, '__name__', type(answer).__name__)}`"


def ask(answer, example: dict, may_change=()):
    """What the learner's function returns for the example's values, in their order.

    example : name to value. The function gets copies, and fails the check if it
    changes them, except those named in ``may_change``, or raises anything.
    """
    given = copy.deepcopy(example)
    try:
        result = answer(*given.values())
    except NotImplementedError:
        raise CheckFailed(
            f"{name_of(answer)} is not written yet. In the cell above, put your code "
            "in place of the line `raise NotImplementedError`, run that cell, then "
            "this one again."
        ) from None
    except (Exception, SystemExit) as error:
        raise CheckFailed(
            f"{name_of(answer)} raises {type(error).__name__}: {error}"
            f"{_line_of(error)}{show(example)}"
        ) from error
    for name, value in given.items():
        if name not in may_change and not _equal(value, example[name]):
            raise CheckFailed(
                f"{name_of(answer)} changes its argument `{name}`, which the caller "
                f"still needs. Work on a copy.{show(example)}"
            )
    return result


def letter_of(answer, choices) -> str:
    """The letter that a prediction gives, one of ``choices``, or CheckFailed."""
    given = ask(answer, {})
    letter = given.strip().lower() if isinstance(given, str) else given
    if not isinstance(given, str) or letter not in tuple(choices):
        allowed = ", ".join(f'"{one}"' for one in choices)
        raise CheckFailed(
            f"{name_of(answer)} gives {given!r}; one of the letters {allowed} is "
            "expected, with the quotation marks, after `return`."
        )
    return letter


def compare(
    answer, given, expected, example: dict, usual=None, what="", tolerance=1e-6
):
    """Raise CheckFailed unless ``given`` equals ``expected``: type, shape, values.

    answer : the learner's function. example : its arguments, shown in the message.
    usual : message to the value that a usual mistake would give; whoever gives that
    value reads the message. what : which part of the result this is, if not all of it.
    tolerance : of fractions, absolute and relative.
    """
    part = f"the {what} of {name_of(answer)}" if what else name_of(answer)
    got = _as_array(given, expected, part, example)
    want = _as_array(expected, expected, part, example)
    for message, wrong in (usual or {}).items():
        wrong = np.asarray(wrong.detach() if torch.is_tensor(wrong) else wrong)
        if _close(got, wrong, tolerance) and not _close(wrong, want, tolerance):
            places = _side_by_side(got, want, tolerance)
            raise CheckFailed(f"{part}: {message}.{show(example)}{places}")
    if got.shape != want.shape:
        hint = " It looks transposed." if got.T.shape == want.shape else ""
        raise CheckFailed(
            f"{part} has shape {got.shape}, expected {want.shape}.{hint}{show(example)}"
        )
    if want.dtype.kind in "iub" and got.dtype.kind not in (
        "iu" if want.dtype.kind in "iu" else "b"
    ):
        kind = "booleans" if want.dtype.kind == "b" else "whole numbers"
        raise CheckFailed(
            f"{part} holds values of type {got.dtype}; {kind} are expected "
            f"({want.dtype}).{show(example)}"
        )
    if not _close(got, want, tolerance):
        nan = " It holds NaN." if got.dtype.kind == "f" and np.isnan(got).any() else ""
        raise CheckFailed(
            f"{part} gives other values than expected.{nan}{show(example)}"
            f"{_side_by_side(got, want, tolerance)}"
        )


def show(example: dict) -> str:
    """The example as lines of text, long arrays cut short."""
    lines = [f"  {name} = {_short(value)}" for name, value in example.items()]
    return "\n\nThe example:\n" + "\n".join(lines) if lines else ""


def table(**columns) -> str:
    """A small table for a message, one column an argument."""
    text = pd.DataFrame(columns).to_string(index=False)
    return "\n\n" + "\n".join("  " + line for line in text.split("\n"))


def _as_array(value, expected, part, example):
    """A NumPy array of what was given; CheckFailed if it is of another kind."""
    if torch.is_tensor(expected) and not torch.is_tensor(value):
        raise CheckFailed(
            f"{part} gives {_kind(value)}; a torch tensor of shape "
            f"{tuple(expected.shape)} is expected.{show(example)}"
        )
    if torch.is_tensor(value):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except Exception:
        array = np.empty((), object)
    strings = not torch.is_tensor(expected) and np.asarray(expected).dtype.kind in "OUT"
    if array.dtype.kind not in ("OUT" if strings else "iufb"):
        raise CheckFailed(
            f"{part} gives {_kind(value)}, expected {_kind(expected)}.{show(example)}"
        )
    return array


def _kind(value) -> str:
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, np.ndarray) or torch.is_tensor(value):
        name = "a NumPy array" if isinstance(value, np.ndarray) else "a torch tensor"
        return f"{name} of shape {tuple(value.shape)}, {value.dtype}"
    return f"a {type(value).__name__} ({_short(value)})"


def _close(a, b, tolerance) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "OUT" or b.dtype.kind in "OUT":
        return bool((a == b).all())
    return np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def _equal(a, b) -> bool:
    """Whether an argument is as it was; what cannot be compared counts as unchanged."""
    if torch.is_tensor(a):
        a, b = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, pd.DataFrame):
        return a.equals(b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, (int, float, str, dict, set)):
        return a == b
    return True


def _side_by_side(got, want, tolerance) -> str:
    """Expected and given where they differ: the first few places."""
    if got.shape != want.shape:
        return f"\n\nexpected: {_short(want)}\ngiven:    {_short(got)}"
    if want.ndim == 0:
        return table(expected=[want[()]], given=[got[()]])
    if want.dtype.kind in "OUT":
        differs = got != want
    else:
        differs = ~np.isclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)
    places = np.argwhere(differs)
    at = [tuple(map(int, place)) for place in places[:SHOWN]]
    name = [str(place[0] if len(place) == 1 else place) for place in at]
    more = len(places) - len(at)
    text = table(place=name, expected=[want[i] for i in at], given=[got[i] for i in at])
    return text + (f"\n  ... and {more} more of {want.size}" if more else "")


def _short(value) -> str:
    if torch.is_tensor(value) or isinstance(value, np.ndarray):
        array = np.asarray(value.detach() if torch.is_tensor(value) else value)
        if array.size > 6 * SHOWN:
            return f"array of shape {array.shape}, {array.dtype}"
        text = np.array2string(array, precision=4, separator=", ", suppress_small=True)
        return text.replace("\n", "\n      ")
    if isinstance(value, pd.DataFrame):
        head = value.head(SHOWN).to_string(index=False)
        return "\n      " + head.replace("\n", "\n      ")
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + " ..."


def _line_of(error) -> str:
    """The line of the learner's cell at which it went wrong."""
    ours = __file__.rpartition("/")[0]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours) and "site-packages" not in frame.filename
    ]
    if not frames:
        return ""
    line = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
    return f"\nin line {frames[-1].lineno}: {line}" if line else ""
