"""A model in onnxruntime as a torch module, for libraries that ask for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.interop.captum_call import as_array
from backtrace_onnx.interop.optional import need

Array = npt.NDArray[Any]


def torch_module(run: Callable[[Array], Array], dtype: Any) -> Any:
    """A torch.nn.Module whose forward is `run`; it has no parameters, and no gradient.

    Args:
        run: x[samples, ...] -> y. dtype: of the array that it takes.

    Raises RequestError where torch is not installed.
    """
    torch = need("torch", "torch_module")

    def forward(self: Any, x: Any) -> Any:
        y = run(np.ascontiguousarray(as_array(x)).astype(dtype, copy=False))
        return torch.from_numpy(np.ascontiguousarray(y)).to(x.device)

    kind = type("OnnxModule", (torch.nn.Module,), {"forward": forward})
    return kind().eval()


__all__ = ["torch_module"]
