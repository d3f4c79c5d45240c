"""Where and how precisely to compute: the device, and fast matrix products on a CPU."""

from contextlib import contextmanager
from functools import cache

import torch

from .errors import ParameterError


def pick_device(name="auto"):
    """torch.device for a name; "auto" takes CUDA, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(
            f"device={name!r} is not allowed; expected 'auto', 'cpu', 'cuda' or 'mps' "
            f"as this machine has them ({reason})"
        ) from error
    return device


@contextmanager
def fast_products():
    """Let float32 products on a CPU go through oneDNN, where that loses no accuracy.

    PyTorch's default library is slow on some processors. Allowing "bf16" lets oneDNN
    take over. Without bfloat16 matrix units it still computes in float32, only faster;
    with them it would round, so each machine is tried once and the setting used only
    there where the result is as accurate as before.
    """
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    if _onednn_is_accurate():
        setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before


@cache
def _onednn_is_accurate():
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(64, 512, generator=generator)
    b = torch.randn(512, 256, generator=generator)
    exact = a.double() @ b.double()
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    try:
        setting.fp32_precision = "bf16"
        error = ((a @ b) - exact).abs().max() / exact.abs().max()
    finally:
        setting.fp32_precision = before
    return bool(error < 2e-6)
