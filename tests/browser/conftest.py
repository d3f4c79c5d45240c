"""A real JupyterLab and a real browser, for tests that click like a learner.

    @pytest.mark.browser
    def test_lesson(notebook):
        notebook.open("notebooks/04_batching.ipynb")
        notebook.run_all()
        assert notebook.errors() == []
        output = notebook.output("stepper(")  # of the one cell whose source has this
        output.get_by_role("button", name="Next").click()
        expect(output).to_contain_text("step 2")
        before = output.locator("img").get_attribute("src")
        ...

`lab` is the running server, `page` Playwright's page, `notebook` both together.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROME_ON_MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
# Nothing here may reach for the network; and root, in a container, has no sandbox.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 1000  # Playwright counts in milliseconds
expect.set_options(timeout=30 * SECONDS)


def find_chromium():
    for name in (*CHROMIUM_NAMES, CHROME_ON_MACOS):
        if path := shutil.which(name):
            return path
    return None


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until_answers(url, process, seconds=60):
    """Opens the address again and again; returns the page's text."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended: {process.returncode}") from error
            if time.monotonic() > end:
                raise TimeoutError(f"no answer in {seconds} s: {error}") from error
            time.sleep(0.2)


@pytest.fixture(scope="session")
def chromium():
    """Path of the browser."""
    path = find_chromium()
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(CHROMIUM_NAMES)} is installed")
    return path


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """JupyterLab on a copy of the notebooks: .url, .token and .root, its directory.

    No setting of whoever runs the tests has a part in it.
    """
    home = tmp_path_factory.mktemp("jupyter")
    root = tmp_path_factory.mktemp("course")
    for name in ("notebooks", "exercises", "solutions", "data"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name)
    port, token = free_port(), secrets.token_hex(16)
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    # As `make lab` does: trusted notebooks show their widgets before they are run.
    notebooks = sorted(root.glob("[ns]*/*.ipynb"))
    if notebooks:
        subprocess.run(
            [sys.executable, "-m", "jupyter", "trust", *notebooks],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    with open(home / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
                f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={root}",
                # So that tests can ask JupyterLab what it knows of a notebook.
                "--expose-app-in-browser",
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_answers(f"{url}/api/status?token={token}", process)
        yield SimpleNamespace(url=url, token=token, root=root)
    finally:
        process.terminate()  # the server then ends its kernels
        process.wait(30)


@pytest.fixture
def page(chromium, tmp_path):
    """An empty page of a newly started browser. `page.broken` lists its errors."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "browser",
            executable_path=chromium,
            args=CHROMIUM_ARGUMENTS,
            headless=True,
            viewport={"width": 1400, "height": 1000},
        )
        page = context.pages[0]
        page.set_default_timeout(30 * SECONDS)
        page.broken = []
        page.on("pageerror", lambda error: page.broken.append(str(error)))
        yield page
        context.close()


@pytest.fixture
def notebook(lab, page, tmp_path):
    """A notebook in JupyterLab in the browser."""
    return Notebook(lab, page, tmp_path)


class Notebook:
    def __init__(self, lab, page, tmp_path):
        self.lab, self.page, self.tmp_path = lab, page, tmp_path

    def open(self, path):
        """Opens a notebook, named from the course's root, and waits for its kernel."""
        self.page.goto(f"{self.lab.url}/lab/tree/{path}?reset&token={self.lab.token}")
        self.page.wait_for_function(
            """() => {
                const app = window.jupyterapp;
                const panel = app && app.shell.currentWidget;
                const session = panel && panel.sessionContext;
                return session && session.session && session.session.kernel
                    && session.session.kernel.status === 'idle';
            }""",
            timeout=60 * SECONDS,
        )
        # A widget's callback that fails shows nothing in the notebook: listen.
        self.page.evaluate(
            """() => {
                window.kernelErrors = [];
                const session = window.jupyterapp.shell.currentWidget.sessionContext;
                session.iopubMessage.connect((_, {header, content}) => {
                    if (header.msg_type === 'error')
                        window.kernelErrors.push(`${content.ename}: ${content.evalue}`);
                });
            }"""
        )

    def run_all(self, seconds=300):
        """Runs all cells and waits for the last; stops at the first that fails."""
        self.page.evaluate(
            """() => {
                window.ran = null;
                const end = result => { window.ran = {result: String(result)}; };
                window.jupyterapp.commands.execute('notebook:run-all-cells')
                    .then(end, end);
            }"""
        )
        self.page.wait_for_function("window.ran !== null", timeout=seconds * SECONDS)
        self.wait_idle(seconds)

    def open_and_run(self, path):
        """Opens a notebook and runs it to its end, without an error anywhere."""
        self.open(path)
        self.run_all()
        assert self.errors() == []

    def redraws(self, output, move):
        """Sees that the one figure of an output is another one after ``move()``."""
        figure = output.locator("img")
        expect(figure).to_have_count(1)
        before = figure.get_attribute("src")
        move()
        expect(figure).not_to_have_attribute("src", before)
        self.wait_idle()

    def wait_idle(self, seconds=60):
        """Waits until the kernel has nothing left to do."""
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget.sessionContext"
            ".session.kernel.status === 'idle'",
            timeout=seconds * SECONDS,
        )

    def cells(self):
        """The cells with their outputs as they are now, in the file's format."""
        return self.page.evaluate(
            "window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"
        )

    def cell(self, part):
        """Locator of the one cell whose source contains this text, scrolled to."""
        found = [i for i, c in enumerate(self.cells()) if part in "".join(c["source"])]
        if len(found) != 1:
            raise LookupError(f"{part!r} is in the source of {len(found)} cells, not 1")
        locator = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").locator(
            f'[data-windowed-list-index="{found[0]}"]'
        )
        locator.scroll_into_view_if_needed()
        return locator

    def output(self, part):
        """Locator of what the cell whose source contains this text has put out."""
        return self.cell(part).locator(".jp-Cell-outputArea")

    def errors(self):
        """Whatever went wrong since `open`: in cells, callbacks, widgets, the page."""
        unrun = [
            f"not run: {''.join(cell['source'])[:60]!r}"
            for cell in self.cells()
            if cell["cell_type"] == "code"
            and cell["execution_count"] is None
            and "".join(cell["source"]).strip()
        ]
        widgets = self.page.locator(".jupyter-widgets-error-widget").all_inner_texts()
        return self.page.evaluate("kernelErrors") + unrun + widgets + self.page.broken

    def screenshot(self, name="page"):
        """Saves what the page shows; returns the file's path."""
        path = self.tmp_path / f"{name}.png"
        self.page.screenshot(path=path)
        return path
