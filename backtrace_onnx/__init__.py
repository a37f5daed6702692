"""Explain any ONNX model: relevance traced back from an answer to the inputs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtrace_onnx.activation_patching import Patching, patch, patching, tensor_values
    from backtrace_onnx.black_box import BlackBox
    from backtrace_onnx.data.explain_batches import ExplainBatches
    from backtrace_onnx.data.explain_dataset import DatasetResults, explain_dataset
    from backtrace_onnx.doubts import check_explanation
    from backtrace_onnx.errors import (
        AuditError,
        BacktraceError,
        CompileError,
        ExportError,
        InputError,
        InputWarning,
        ModelError,
        NumericalError,
        RequestError,
        RuleError,
        UnsupportedError,
    )
    from backtrace_onnx.evaluation.evaluation import Evaluation
    from backtrace_onnx.evaluation.running import evaluate
    from backtrace_onnx.explainer import Explainer
    from backtrace_onnx.explanation import Explanation, Explanations
    from backtrace_onnx.generation import Continuation, Contrast, explain_continuation
    from backtrace_onnx.messages.notes import Note
    from backtrace_onnx.network.network_analysis import NetworkAnalysis, network_analysis
    from backtrace_onnx.once import compile, explain
    from backtrace_onnx.policies import policy
    from backtrace_onnx.rules.registry import rule
    from backtrace_onnx.summary.global_explanation import GlobalExplanation, global_explanation
    from backtrace_onnx.targets.entries import Columns
    from backtrace_onnx.text.tokenizer import Tokenizer
    from backtrace_onnx.trees.visits import count_visits

__version__ = "0.1.0"

_HOME = {
    "AuditError": "errors",
    "BacktraceError": "errors",
    "BlackBox": "black_box",
    "CompileError": "errors",
    "Continuation": "generation",
    "Columns": "targets.entries",
    "Contrast": "generation",
    "ExportError": "errors",
    "Evaluation": "evaluation.evaluation",
    "DatasetResults": "data.explain_dataset",
    "ExplainBatches": "data.explain_batches",
    "Explainer": "explainer",
    "Explanation": "explanation",
    "Explanations": "explanation",
    "GlobalExplanation": "summary.global_explanation",
    "InputError": "errors",
    "InputWarning": "errors",
    "ModelError": "errors",
    "NetworkAnalysis": "network.network_analysis",
    "Note": "messages.notes",
    "NumericalError": "errors",
    "Patching": "activation_patching",
    "RequestError": "errors",
    "RuleError": "errors",
    "Tokenizer": "text.tokenizer",
    "UnsupportedError": "errors",
    "check_explanation": "doubts",
    "compile": "once",
    "count_visits": "trees.visits",
    "evaluate": "evaluation.running",
    "explain": "once",
    "explain_continuation": "generation",
    "explain_dataset": "data.explain_dataset",
    "global_explanation": "summary.global_explanation",
    "network_analysis": "network.network_analysis",
    "patch": "activation_patching",
    "patching": "activation_patching",
    "policy": "policies",
    "rule": "rules.registry",
    "tensor_values": "activation_patching",
}

__all__ = [
    "AuditError",
    "BacktraceError",
    "BlackBox",
    "Columns",
    "CompileError",
    "Continuation",
    "Contrast",
    "DatasetResults",
    "Evaluation",
    "ExplainBatches",
    "Explainer",
    "Explanation",
    "Explanations",
    "ExportError",
    "GlobalExplanation",
    "InputError",
    "InputWarning",
    "ModelError",
    "NetworkAnalysis",
    "Note",
    "NumericalError",
    "Patching",
    "RequestError",
    "RuleError",
    "Tokenizer",
    "UnsupportedError",
    "check_explanation",
    "compile",
    "count_visits",
    "evaluate",
    "explain",
    "explain_continuation",
    "explain_dataset",
    "global_explanation",
    "network_analysis",
    "patch",
    "patching",
    "policy",
    "rule",
    "tensor_values",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `import backtrace_onnx` alone is instant."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
