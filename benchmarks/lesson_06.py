"""What rules for ties do to a Markov chain without back-off: docs/lesson_06_ties.csv.

    python benchmarks/lesson_06.py [--data ../shared/data/rsc15-100k]

A few seconds. The rows on real clicks are measured where the data is at hand.
"""

import argparse
import os
from pathlib import Path

from gru4rec_lite import Markov, Sessions, evaluate, load_shop
from gru4rec_lite.course import measured
from gru4rec_lite.evaluation import TIES

NAME = "lesson_06_ties"


class PlainMarkov(Markov):
    """Counts only: all that never followed the last click scores zero."""

    def score_after(self, sessions, wanted):
        for positions, scores in super().score_after(sessions, wanted):
            yield positions, scores.floor()  # what breaks ties is below one count


def measure(read):
    """Recall@20 of the Markov chain with and without back-off, under each rule."""
    train, test = read()
    result = {"training sessions": train.n_sessions}
    for name, kind in (("plain", PlainMarkov), ("with back-off", Markov)):
        report = evaluate(kind().fit(train), test, progress=False)
        for ties in TIES:
            result[f"{name}, {ties}"] = report.with_ties(ties).recall[20]
    return result | {"predictions": report.n_predictions}


def rows(data):
    """Label to what `measure` needs; real clicks only where they are at hand."""

    def read_shop():
        shop = load_shop()
        return shop.train, shop.test

    def read_rsc15():
        names = ("train_full.tsv", "test.tsv")
        return tuple(Sessions.read(data / name) for name in names)

    found = {"shop": {"read": read_shop}}
    if (data / "test.tsv").is_file():
        found["rsc15-100k"] = {"read": read_rsc15}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("GRU4REC_LITE_DATA", "../shared/data/rsc15-100k")
    parser.add_argument("--data", type=Path, default=Path(default))
    print(measured.extend(NAME, rows(parser.parse_args().data), measure))


if __name__ == "__main__":
    main()
