"""``kernels``, the compiled loops; None where there is no numba.

Then operations on whole tensors and arrays do the same.
"""

try:
    from . import kernels
except ImportError:
    kernels = None
