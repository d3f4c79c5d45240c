"""Runs notebooks in place: python tools/render.py notebooks/04_*.ipynb

Like `jupyter nbconvert --execute --inplace`, except that an unchanged notebook
gives an unchanged file: whatever differs from run to run for no reason a reader
cares about (widget identifiers, progress bars, Python's version) is made the same
or left out. The first state of every widget is kept in the file, so that the
notebook shows it before anything has been run. A notebook that fails stays as it was.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.output_widget import OutputWidget

# Sums in floating point depend on how many threads share them, so notebooks are
# rendered and compared with the same number on every machine. PASSIVE: threads that
# wait give up their core, or a busy machine would get nowhere.
KERNEL_ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",
}

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
MODEL_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


def is_progress_bar(data):
    """True for the display data of a tqdm bar that has just appeared."""
    return bool(
        WIDGET_VIEW in data
        and re.search(r"\[00:00(<\?)?, \?\S*/s", data.get("text/plain", ""))
    )


def drop_progress_bars(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if not is_progress_bar(output.get("data", {}))
            ]


def shown_models(notebook, state):
    """Identifiers of the widgets that outputs show, and of all they consist of."""
    waiting = MODEL_ID.findall(
        json.dumps(
            [
                output.get("data", {}).get(WIDGET_VIEW)
                for cell in notebook.cells
                for output in cell.get("outputs", [])
            ]
        )
    )
    found = set()
    while waiting:
        model = waiting.pop()
        if model in state and model not in found:
            found.add(model)
            waiting += MODEL_ID.findall(json.dumps(state[model]))
    return found


def normalise(notebook):
    """Returns the notebook without what differs from one run to the next."""
    drop_progress_bars(notebook)
    widgets = notebook.metadata.pop("widgets", {}).get(WIDGET_STATE)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    if not widgets:
        return notebook
    shown = shown_models(notebook, widgets.state)
    # In the order of their making, which is the same in every run.
    models = [model for model in widgets.state if model in shown]
    if models:
        widgets.state = {model: widgets.state[model] for model in models}
        notebook.metadata.widgets = {WIDGET_STATE: widgets}
    names = {model: f"{i:032x}" for i, model in enumerate(models, start=1)}
    text = MODEL_ID.sub(
        lambda match: names.get(match[0], match[0]), nbformat.writes(notebook)
    )
    return nbformat.reads(text, as_version=4)


class ListeningOutputWidget(OutputWidget):
    def sync_state(self):
        """Does not tell the kernel what the widget shows.

        nbclient would say it on the socket on which it awaits the end of the cell, and
        now and then miss that end, until the time is up. Nor does nbval say it.
        """


def render(path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=300,  # s, for one cell
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.widget_registry["@jupyter-widgets/output"] = {
        "OutputModel": ListeningOutputWidget
    }
    client.execute(env=KERNEL_ENVIRONMENT)
    nbformat.write(normalise(notebook), path)


def main(arguments):
    paths = []
    for argument in map(Path, arguments):
        paths += sorted(argument.glob("*.ipynb")) if argument.is_dir() else [argument]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        sys.exit(f"No such notebook: {' '.join(missing or arguments) or 'none named'}")
    for path in paths:
        print(path, end=" ", flush=True)
        start = time.perf_counter()
        try:
            render(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            sys.exit(f"failed, and was left as it was:\n{error}")
        print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
