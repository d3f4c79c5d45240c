"""What the lessons show and what they let one move: figures, widgets, checks.

This part imports the library; the library never imports it.  It needs the packages of
the `course` extra: ``pip install "gru4rec-lite[course]"``, or `make setup`.
"""

from .record import progress

__all__ = ["progress"]
