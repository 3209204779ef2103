"""Kernels that torch.compile makes of a network's operators."""

from __future__ import annotations

from dataclasses import replace

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.registry.errors import DoesNotApplyError
from bench.results.measurement import Reading


@metric(unit="kernels", better="lower", kind="static", display_name="kernels after fusion", bounds=(0, None))
def fused_kernels(subject: Subject) -> Reading:
    """Kernels that torch.compile (inductor) generates for one forward pass on a CPU: fewer where it fuses more.

    Detail: the nodes of inductor's program before it fuses them, and the calls of libraries, such as convolutions, that
    stay. Code is generated without vector instructions, so that the numbers do not depend on the processor.
    Compiling takes seconds to minutes and a C++ compiler; without one the metric does not apply.
    """
    import torch
    from torch._dynamo.utils import counters
    from torch._inductor import config, metrics

    _refuse_missing_compiler()
    own = replace(subject, device="cpu")
    settings = {"compile_threads": 1, "cpp.simdlen": 1, "fx_graph_cache": False}
    torch._dynamo.reset()
    metrics.reset()
    counters["inductor"].clear()
    with torch.no_grad(), config.patch(settings), torch._functorch.config.patch(enable_autograd_cache=False):
        torch.compile(own.model)(*own.inputs)
    torch._dynamo.reset()
    detail = {"before_fusion": metrics.ir_nodes_pre_fusion, "library_calls": counters["inductor"]["extern_calls"]}
    return Reading(metrics.generated_kernel_count, detail)


def _refuse_missing_compiler() -> None:
    """Raises DoesNotApplyError where torch.compile cannot generate code for the CPU."""
    from torch._dynamo.eval_frame import is_dynamo_supported

    if not is_dynamo_supported():
        raise DoesNotApplyError("torch.compile does not support this version of Python or this platform")
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise DoesNotApplyError("torch.compile needs a C++ compiler, and there is none; install g++ or clang") from None
