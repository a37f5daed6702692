"""How good an explanation is: a function that predicts, inputs and relevance enter.

A number for each sample leaves.
It never knows how an explanation was made.
"""

from backtrace_onnx.metrics.axioms import completeness, conservation
from backtrace_onnx.metrics.complexity import complexity, histogram_complexity, sparseness
from backtrace_onnx.metrics.faithfulness import (
    faithfulness_correlation,
    faithfulness_estimate,
    fidelity,
)
from backtrace_onnx.metrics.flipping import Flipping, abpc, flip
from backtrace_onnx.metrics.localisation import mass_inside, pointing_game, rank_inside
from backtrace_onnx.metrics.randomisation import (
    class_sensitivity,
    model_randomisation,
    randomised_model,
    randomised_models,
    similarity,
)
from backtrace_onnx.metrics.removal import Removed, remove_sets, remove_units
from backtrace_onnx.metrics.robustness import Sensitivity, sensitivity
from backtrace_onnx.metrics.tokens import TokenPerturbation, token_perturbation
from backtrace_onnx.metrics.units import grid

__all__ = [
    "Flipping",
    "Removed",
    "Sensitivity",
    "TokenPerturbation",
    "abpc",
    "class_sensitivity",
    "completeness",
    "complexity",
    "conservation",
    "faithfulness_correlation",
    "faithfulness_estimate",
    "fidelity",
    "flip",
    "grid",
    "histogram_complexity",
    "mass_inside",
    "model_randomisation",
    "pointing_game",
    "randomised_model",
    "randomised_models",
    "rank_inside",
    "remove_sets",
    "remove_units",
    "sensitivity",
    "similarity",
    "sparseness",
    "token_perturbation",
]
