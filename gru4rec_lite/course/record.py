"""Which exercises a learner has passed so far: a small file beside the notebooks.

It is called ``.progress.txt`` and holds a number a line; delete it to begin anew.
"""

from pathlib import Path

import pandas as pd

FILE = Path(".progress.txt")  # in the folder of the notebook that runs


def passed() -> set:
    """Numbers of the exercises passed. A file that cannot be read counts as none."""
    try:
        return set(FILE.read_text(encoding="utf-8").split())
    except (OSError, ValueError):
        return set()


def keep(number: str) -> None:
    """Add a passed exercise. Where nothing can be written, nothing is kept."""
    if number in passed():
        return
    try:  # at the end of the file, so that notebooks side by side lose nothing
        with FILE.open("a", encoding="utf-8") as file:
            file.write(f"{number}\n")
    except OSError:
        pass


def progress(lesson: int | str | None = None) -> pd.DataFrame:
    """The exercises, of one lesson or of all, and whether they are passed.

    lesson : 4 or "04"; all lessons if not given.
    """
    from .checks import all_checks  # which import this module

    checks = {
        number: check
        for number, check in all_checks().items()
        if lesson is None or int(number.split(".")[0]) == int(lesson)
    }
    done = passed()
    table = pd.DataFrame(
        {
            "exercise": list(checks),
            "check": [check.__name__ for check in checks.values()],
            "passed": ["yes" if number in done else "not yet" for number in checks],
        }
    )
    return table.set_index("exercise")
