"""Lesson 07: losses by hidden units, and a sweep over the 2016 paper's parameters.

    python benchmarks/lesson_07.py

Writes docs/lesson_07_sweep.csv (60 small models, five minutes of one core; seconds are
those of the clock) and docs/lesson_07_losses.csv (six models on all the shop's
sessions, three of them with 1000 units: three minutes; seconds are the processor's).
What is measured already is not measured again.
"""

import torch

from gru4rec_lite.course import lesson_07, measured


def main():
    torch.set_num_threads(1)  # so that seconds are those of one core
    measured.extend(
        "lesson_07_sweep", lesson_07.sweep_rows(), lesson_07.measure_setting
    )
    measured.extend("lesson_07_losses", lesson_07.losses_rows(), lesson_07.measure_loss)


if __name__ == "__main__":
    main()
