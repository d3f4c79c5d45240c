"""Measurements too long for a lesson: made by ``make results``, kept as CSV in docs/.

A lesson reads the file, says so, and repeats a small part of it. Each row names its
settings, and the machine and the day on which it was measured.
"""

import datetime
import os
import platform
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

from ..errors import DataError

DOCS = Path(__file__).resolve().parents[2] / "docs"


def read(name: str) -> pd.DataFrame:
    """The table docs/``name``.csv. Raises DataError when it is not there."""
    path = DOCS / f"{name}.csv"
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file. The lessons' measurements come with the "
            "course's repository; run `make results` in it to measure them anew."
        )
    return pd.read_csv(path)


def extend(name: str, rows: dict, measure) -> pd.DataFrame:
    """Measure the rows that docs/``name``.csv does not have yet.

    rows : label to keyword arguments of ``measure``, which returns a dict of results.
    Every row is written as soon as it is measured: what is interrupted goes on from
    there. To measure all of them anew, delete the file.
    """
    path = DOCS / f"{name}.csv"
    table = read(name) if path.is_file() else pd.DataFrame({"label": []})
    left = [label for label in rows if label not in set(table["label"])]
    for label in tqdm(left, desc=name, unit="row"):
        row = {"label": label, **measure(**rows[label]), **_where()}
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        order = {label: place for place, label in enumerate(rows)}  # unknown ones last
        table = table.sort_values(
            "label", key=lambda labels: labels.map(order), ignore_index=True
        )
        beside = path.with_suffix(".part")
        table.to_csv(beside, index=False, float_format="%.6g")
        beside.replace(path)
    return table


def _where() -> dict:
    machine = (
        f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores, "
        f"PyTorch {torch.__version__} on {torch.get_num_threads()} threads"
    )
    return {"machine": machine, "date": str(datetime.date.today())}
