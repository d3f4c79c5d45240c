"""Do the repository's files agree with each other, and with the machine of anyone?"""

import itertools
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.render import normalise

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
RENDERED = sorted(ROOT.glob("[ns]o*/*.ipynb"))  # notebooks/ and solutions/


def committed_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def dependencies():
    """Everything pyproject.toml asks for by name, apart from its own extras."""
    texts = [*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())]
    requirements = map(Requirement, texts)
    return [r for r in requirements if r.name != PROJECT["name"]]


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_dependency_is_pinned_to_a_version_it_allows():
    pinned = {canonicalize_name(pin.name): pin for pin in pins()}
    for dependency in dependencies():
        pin = pinned.get(canonicalize_name(dependency.name))
        assert pin is not None, f"constraints.txt does not pin {dependency.name}"
        version = str(pin.specifier).removeprefix("==")
        assert version in dependency.specifier, f"{pin} is not {dependency}"


def test_pins_are_exact_and_fit_every_machine():
    for pin in pins():
        operators = [part.operator for part in pin.specifier]
        assert operators == ["=="], f"{pin} is not an exact version"
        version = str(pin.specifier).removeprefix("==")
        assert Version(version).local is None, f"{pin}: a build for some machines"
        assert pin.url is None and pin.marker is None
    names = [canonicalize_name(pin.name) for pin in pins()]
    assert len(names) == len(set(names))


def test_conda_environment_is_the_one_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (by_pip,) = [e["pip"] for e in environment["dependencies"] if isinstance(e, dict)]

    # Python and pip from conda; everything else from pyproject.toml, as pinned.
    python, pip = map(Requirement, plain)
    assert (python.name, pip.name) == ("python", "pip")
    required = SpecifierSet(PROJECT["requires-python"])
    assert set(required) <= set(python.specifier)
    constraint, package = by_pip
    assert constraint == "-c constraints.txt"
    extra = re.fullmatch(r"-e \.\[(\w+)\]", package)[1]
    assert extra in EXTRAS
    assert f'".[{extra}]"' in (ROOT / "Makefile").read_text()


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.M)
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    assert sorted(targets) == sorted(phony)
    printed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    listed = re.findall(r"^make (\S+) +\S.*$", printed, re.M)
    assert listed == targets


def markdown():
    return [path for path in committed_files() if path.suffix == ".md"]


def test_documents_name_only_make_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.M))
    for path in markdown():
        named = re.findall(r"^ *make ([a-z]+)|`make ([a-z]+)", path.read_text(), re.M)
        unknown = {a or b for a, b in named} - targets
        assert not unknown, f"{path.name}: no such target: {unknown}"


def test_links_in_documents_resolve():
    for path in markdown():
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            file = path.parent / target.split("#")[0]
            assert file.exists(), f"{path.name} links to {target}, which is not there"


def test_no_file_names_a_path_of_somebodys_machine():
    home = re.compile(
        r"(?<![\w./-])/(?:work|root|home/\w+|Users/\w+|tmp/v|opt/\w+)/[\w.]"
    )
    for path in committed_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = home.search(text)
        assert not found, f"{path.relative_to(ROOT)}: {found and found[0]}..."


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.name)
def test_notebook_is_as_make_render_leaves_it(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert normalise(nbformat.read(path, as_version=4)) == notebook
    assert '"output_type": "error"' not in path.read_text()


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.name)
def test_most_of_a_notebook_is_compared(path):
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    skipped = {"nbval-ignore-output", "nbval-skip"}
    tagged = [c for c in code if skipped & set(c.metadata.get("tags", []))]
    assert 3 * len(tagged) <= len(code), (
        f"{len(tagged)} of {len(code)} code cells are not compared with a new run"
    )
    # Tags are what is counted above, so comments may not do the same unseen.
    assert not [c for c in code if "NBVAL_" in c.source]
