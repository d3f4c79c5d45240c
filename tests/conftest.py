"""What all tests share: real clicks, repeatable random examples, the GPU marker."""

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# The same examples in every run; slow machines do not fail for being slow.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA GPU here")


@pytest.fixture(scope="session")
def rsc15():
    """Directory of real clicks: train_full, train_tr, train_valid and test, .tsv."""
    named = os.environ.get("GRU4REC_LITE_DATA")
    path = Path(named or ROOT.parent / "shared" / "data" / "rsc15-100k")
    if (path / "train_full.tsv").is_file():
        return path
    if named:
        pytest.fail(f"GRU4REC_LITE_DATA={named} holds no train_full.tsv")
    pytest.skip(
        "no rsc15-100k: put it into ../shared/data/, beside the repository, or name "
        "its directory in GRU4REC_LITE_DATA"
    )
