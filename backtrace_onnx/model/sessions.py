"""onnxruntime sessions: one place that sets their options and hands them their weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from backtrace_onnx.errors import RequestError
from backtrace_onnx.model.topology import captured

IR_VERSION = 10
MAX_IR = 13
_INLINE_BYTES = 1024
_SIZES_BYTES = 1 << 16
_KNOWN_OPSET = 26
_PLANNED = 5000
_ORT_TYPES = frozenset(
    np.dtype(t).str for t in ("f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
)


class Runtime(NamedTuple):
    """How onnxruntime runs: its execution providers, and libraries with custom operators."""

    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    libraries: tuple[str, ...] = ()


CPU = Runtime()


def find_providers(names: Any) -> tuple[str, ...]:
    """Execution providers by name; the CPU's where none is named.

    Raises RequestError for one that this onnxruntime lacks: it would take another in silence.
    """
    if names is None:
        return CPU.providers
    chosen = (names,) if isinstance(names, str) else names
    there = ort.get_available_providers()
    for name in chosen if isinstance(chosen, Sequence) else (chosen,):
        if name not in there:
            raise RequestError(f"unknown provider {name!r}; there are: {', '.join(there)}")
    return tuple(chosen) or CPU.providers


@cache
def _share_memory() -> None:
    """Let sessions of this package take their memory from one arena.

    Hundreds of them would each keep what one of its runs took; without any, large arrays would come
    from the system, page by page, in every run.
    """
    kind = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    info = ort.OrtMemoryInfo("Cpu", kind, 0, ort.OrtMemType.DEFAULT)
    as_requested = {"arena_extend_strategy": 1}  # instead of to the next power of two
    ort.create_and_register_allocator(info, ort.OrtArenaCfg(as_requested))


def _identity(opset: int) -> onnx.ModelProto:
    """The smallest model there is."""
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"
    ]
    graph = onnx.helper.make_graph([node], "identity", values[:1], values[1:])
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


@cache
def _idle() -> ort.InferenceSession:
    return make_session(_identity(13))


def free_memory() -> None:
    """Give the system back what the arena keeps and no session uses."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    _idle().run(None, {"x": np.zeros(1, np.float32)}, options)


_BROKEN = ("bound to different types", "Failed to find node output")
"""What is said of models that were right before they were optimised."""


def load_unbroken(load: Callable[..., ort.InferenceSession]) -> ort.InferenceSession:
    """What `load(optimise=...)` makes: as it is where onnxruntime's optimiser breaks the model.

    That of 1.28 loses nodes whose output is asked for, and fuses normalisations across types.
    """
    try:
        return load(optimise=True)
    except Exception as error:  # onnxruntime raises many types
        if not any(words in str(error) for words in _BROKEN):
            raise
        return load(optimise=False)


def make_session(
    proto: onnx.ModelProto,
    weights: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    runtime: Runtime = CPU,
    folder: str | None = None,
    optimise: bool = True,
    threads: int = 0,
    arena: bool = True,
) -> ort.InferenceSession:
    """A session of `proto`; `weights` fill its external initializers without being copied into it.

    Thread spinning is off: several sessions share the cores, and spinning threads starve the rest.
    `threads` 0 is one per core; a session of its own threads takes milliseconds to make. Without
    `arena` every tensor is given back at once: a loop may leave 200,000 of them, and giving those
    back together takes time quadratic in their number.
    """
    _share_memory()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.use_env_allocators", "1" if arena else "0")
    options.enable_cpu_mem_arena = arena
    options.enable_mem_pattern = False  # it is for an arena of one's own: a block of all of a run
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Else products with dequantised weights round the other factor to 8 bits, where they are fused.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", folder
        )
    # Its plan for reusing memory takes time quadratic in the nodes: minutes instead of seconds.
    options.enable_mem_reuse = len(proto.graph.node) < _PLANNED
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for library in runtime.libraries:
        options.register_custom_ops_library(library)
    given = _read(proto, weights or {})
    if given:
        arrays = [np.ascontiguousarray(w).reshape(np.shape(w)) for w in given.values()]
        values = [ort.OrtValue.ortvalue_from_numpy(w) for w in arrays]
        options.add_external_initializers(list(given), values)
    return ort.InferenceSession(
        proto.SerializeToString(), options, providers=list(runtime.providers)
    )


def _read(
    proto: onnx.ModelProto, weights: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """The weights that nodes or outputs read; onnxruntime takes no others."""
    read = {o.name for o in proto.graph.output}
    for node in proto.graph.node:
        read.update((*node.input, *captured(node)))
    return {name: w for name, w in weights.items() if name in read}


@cache
def newest_opset() -> int:
    """Greatest opset of ai.onnx that the installed onnxruntime runs, as its own error tells."""
    try:
        make_session(_identity(10_000))
    except Exception as error:  # onnxruntime raises many types
        found = re.search(r"till opset (\d+)", str(error))
        return int(found[1]) if found else _KNOWN_OPSET
    return _KNOWN_OPSET


def first_line(error: Exception) -> str:
    """What onnxruntime says, without its traces."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return lines[0][:400] if lines else type(error).__name__


def stays_inline(array: npt.NDArray[Any]) -> bool:
    """Whether a constant is written into the proto rather than handed over beside it.

    Vectors of integers may be sizes, which shape inference reads, and it reads protos only.
    """
    limit = _SIZES_BYTES if array.dtype == np.int64 and array.ndim == 1 else _INLINE_BYTES
    return array.nbytes < limit or array.dtype.str not in _ORT_TYPES


def initializer(name: str, array: npt.NDArray[Any]) -> onnx.TensorProto:
    """A TensorProto that holds a small constant, or stands for a large one given to the session."""
    if stays_inline(array):
        return onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
    return placeholder(name, array.dtype, array.shape)


def placeholder(name: str, dtype: npt.DTypeLike, shape: Sequence[int]) -> onnx.TensorProto:
    """An external initializer whose data the session is given when it is made."""
    tensor = onnx.TensorProto(
        name=name,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),
        dims=list(shape),
        data_location=onnx.TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value="given-to-the-session")
    return tensor
