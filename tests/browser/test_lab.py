"""`make lab` itself: does it come up, where it was told to, on the first lesson?"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, free_port, wait_until_answers

pytestmark = pytest.mark.slow


@pytest.fixture
def make_lab(tmp_path):
    """`make lab` on a free port: the port, the process and its log."""
    if not (Path(sys.prefix) / ".installed").is_file():
        pytest.skip("this environment was not made by make setup")
    port = free_port()
    log = tmp_path / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                "make",
                "lab",
                f"VENV={sys.prefix}",
                f"LAB_ARGS=--no-browser --port {port} --ServerApp.port_retries=0",
            ],
            cwd=ROOT,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
                "JUPYTER_DATA_DIR": str(tmp_path / "data"),
                "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
                "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
            },
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    yield port, process, log
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_make_lab_answers_on_its_port(make_lab):
    port, process, log = make_lab
    wait_until_answers(f"http://127.0.0.1:{port}/api", process)

    # The address is printed, leads to the first lesson, and opens the server.
    printed = log.read_text()
    address = re.search(
        rf"http://127\.0\.0\.1:{port}(/lab/tree/\S+)\?token=([0-9a-f]+)", printed
    )
    assert address, printed
    path, token = address.groups()
    assert path == "/lab/tree/notebooks/00_start_here.ipynb"
    assert "JupyterLab" in wait_until_answers(address[0], process)

    # From there a learner reaches the exercises and the data, too.
    listing = wait_until_answers(
        f"http://127.0.0.1:{port}/api/contents?token={token}", process
    )
    names = {entry["name"] for entry in json.loads(listing)["content"]}
    assert {"notebooks", "gru4rec_lite", "pyproject.toml"} <= names
