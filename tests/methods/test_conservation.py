"""Methods of the LRP family: books close, a sample of a batch is as alone, engines agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from backtrace_onnx import Explainer
from tests import function_networks as written
from tests import functions, normalisations, softmaxes
from tests.cases import session
from tests.differences import retyped
from tests.graphs import check_closed, normal

MODES = ("lrp", "lrp(0)", "attnlrp", "cp-lrp", "cnn", "vit")
TYPES = {
    "float32": (TensorProto.FLOAT, np.float32, 1e-5),
    "float64": (TensorProto.DOUBLE, np.float64, 1e-9),
    "float16": (TensorProto.FLOAT16, np.float16, 1e-2),
}
NETWORKS = {
    "Gelu": (written.dense(functions.GELU["torch"], residual=True, opset=20), (3, 3, 6)),
    "Softmax": (
        written.dense(softmaxes.SOFTMAX["stable"], residual=True, opset=20),
        (3, 3, 6),
    ),
    "Sigmoid": (written.dense(functions.SIGMOID["native"], opset=20), (3, 3, 6)),
    "LayerNorm": (written.dense(normalisations.LAYER["torch"], opset=20), (3, 3, 6)),
    "GroupNorm": (
        written.convolutional(normalisations.GROUP["native"], opset=21),
        (3, 3, 4, 5),
    ),
}


def runs(proto: onnx.ModelProto, x: Any) -> bool:
    """Whether onnxruntime has the model's kernels."""
    try:
        session(proto).run(None, {"x": x})
    except Exception:  # onnxruntime raises many types
        return False
    return True


CASES = [(n, t) for n in NETWORKS for t in TYPES if (n, t) != ("GroupNorm", "float16")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_lrp_family(name: str, dtype: str) -> None:
    network, shape = NETWORKS[name]
    kind, numbers, limit = TYPES[dtype]
    proto = retyped(onnx.load_model_from_string(network), kind)
    x = normal(*shape, seed=11, dtype=numbers)
    if not runs(proto, x):
        pytest.skip(f"onnxruntime has no kernels of {dtype}")
    explainer = Explainer(proto)
    for mode in MODES:
        explainer.engine = "numba"
        together = explainer.explain(x, mode=mode, task="regression")
        check_closed(together, 1e-4 if dtype != "float16" else 1e-2)
        found = together.relevance["x"]
        for k in range(len(x)):
            alone = explainer.explain(x[k : k + 1], mode=mode, task="regression")
            # To rounding: onnxruntime adds up the numbers of a batch in another order.
            off = np.abs(found[k] - alone.relevance["x"][0]).max()
            assert off <= limit * np.abs(found[k]).max(), f"{mode}: sample {k}"
        explainer.engine = "onnxruntime"
        compiled: Any = explainer.explain(x, mode=mode, task="regression").relevance["x"]
        assert np.abs(compiled - found).max() <= limit * np.abs(found).max(), mode
