"""Compiled loops on the threads that PyTorch has already.

PyTorch multiplies on a team of OpenMP threads, which wait for the next product by
spinning. A second team would take the cores away from the first. So loops are handed
to that same team, by the call that C compilers put in for ``#pragma omp parallel``:
GOMP_parallel(function, data, 0, 0) has every thread of the team call function(data).

Where PyTorch has no such team (macOS, Windows), loops run on one thread.
"""

import ctypes
from pathlib import Path

import llvmlite.binding as llvm
import torch
from llvmlite import ir
from numba import njit, types
from numba.core.cgutils import alloca_once_value, get_or_insert_function, voidptr_t
from numba.extending import intrinsic

INT32 = ir.IntType(32)
CALLS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


def _find_team():
    """Tell the compiler where PyTorch's OpenMP library has its calls. False if it has
    none."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib/libtorch_cpu.so"))
        for call in CALLS:
            address = ctypes.cast(getattr(library, call), ctypes.c_void_p).value
            llvm.add_symbol(f"torch_{call}", address)
    except (OSError, AttributeError):
        return False
    return True


thread_number = types.ExternalFunction("torch_omp_get_thread_num", types.int32())
n_threads = types.ExternalFunction("torch_omp_get_num_threads", types.int32())


@intrinsic
def _on_team(typing, loop, n, arguments):
    """loop(first, last, *arguments) on every thread, with its share of the numbers
    below n."""

    def code(context, builder, signature, values):
        everything = types.Tuple((types.int64, arguments))
        value = context.make_tuple(builder, everything, values[1:])
        data = alloca_once_value(builder, value)

        def share(everything):
            n, arguments = everything
            k, m = thread_number(), n_threads()
            part(n * k // m, n * (k + 1) // m, *arguments)

        # void function(void *data) { share(*data); }
        part = loop.dispatcher
        kind = ir.FunctionType(ir.VoidType(), [voidptr_t])
        name = builder.module.get_unique_name("on_team")
        function = ir.Function(builder.module, kind, name)
        function.linkage = "internal"
        inside = ir.IRBuilder(function.append_basic_block())
        value = inside.load(inside.bitcast(function.args[0], data.type))
        takes = types.void(everything)
        compiled = context.compile_subroutine(inside, share, takes)
        context.call_internal_no_propagate(inside, compiled.fndesc, takes, [value])
        inside.ret_void()

        # GOMP_parallel(function, &everything, 0, 0)
        fork = ir.FunctionType(
            ir.VoidType(), [kind.as_pointer(), voidptr_t, INT32, INT32]
        )
        fork = get_or_insert_function(builder.module, fork, "torch_GOMP_parallel")
        data = builder.bitcast(data, voidptr_t)
        builder.call(fork, [function, data, INT32(0), INT32(0)])
        return context.get_dummy_value()

    return types.void(loop, types.int64, arguments), code


@njit
def _alone(loop, n, arguments):
    """The same on one thread."""
    loop(0, n, *arguments)


on_threads = _on_team if _find_team() else _alone
