"""Makes nbval treat a notebook's cells as JupyterLab does.

nbval (`pytest --nbval notebooks`) runs every cell again and compares its outputs
with those in the file. Three things it does otherwise than JupyterLab, and than
tools/render.py, which wrote the outputs in the file:
- what is printed or drawn inside an Output widget (so, by `interact`) belongs to
  that widget and not to the cell;
- a semicolon at the end of a cell hides its value, which IPython knows from its
  history, and nbval runs cells without;
- a progress bar is no result: what it says depends on the clock.
"""

import functools

import nbval.kernel
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbFile

from tools.render import KERNEL_ENVIRONMENT, is_progress_bar

OUTPUTS = ("stream", "display_data", "execute_result", "clear_output")


def execute_with_history(self, cell_input, allow_stdin=None):
    return self.kc.execute(
        cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
    )


def get_cell_message(self, timeout=None, stream="iopub"):
    """The next message of the kernel that is not meant for a widget."""
    # An Output widget catches what the cell with this message identifier puts out,
    # until it sets the identifier to "". Errors are never hidden.
    catching = self.__dict__.setdefault("catching", {})
    while True:
        message = self.kernel.get_message(stream, timeout=timeout)
        content = message["content"]
        if message["msg_type"] == "comm_msg":
            cell = content["data"].get("state", {}).get("msg_id")
            if cell is not None:
                catching[content["comm_id"]] = cell
        elif message["msg_type"] in OUTPUTS and (
            message["parent_header"].get("msg_id") in catching.values()
            or is_progress_bar(content.get("data", {}))
        ):
            continue
        return message


def pytest_configure(config):
    nbval.kernel.start_new_kernel = functools.partial(
        nbval.kernel.start_new_kernel, env=KERNEL_ENVIRONMENT
    )
    RunningKernel.execute_cell_input = execute_with_history
    IPyNbFile.get_kernel_message = get_cell_message
    config.option.nbval_sanitize_with = config.rootpath / "tests/nbval_sanitize.cfg"
