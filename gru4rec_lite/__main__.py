"""Runs the command line: python -m gru4rec_lite."""

from .cli import main

if __name__ == "__main__":
    main()
