"""What modes compute, in one line each, and the list of them that a command line shows."""

from __future__ import annotations

from backtrace_onnx.methods.named import PRESETS
from backtrace_onnx.methods.sharings import SHARINGS
from backtrace_onnx.ops.method import Method

GROUPS: dict[str, tuple[str, ...]] = {
    "what an answer is made of": ("default", "contrastive"),
    "the same with sign": ("epsilon", "lrp", "attnlrp", "cp-lrp", "cnn", "vit", "paths"),
    "rules of single layers": tuple(name for name in SHARINGS if name != "epsilon"),
    "compared to a baseline": ("shap", "deeplift", "integrated_gradients", "expected_gradients"),
    "what would change it": ("gradient", "gradient_x_input", "smoothgrad", "gradcam"),
}
"""Modes by the question that they answer."""

_SHARES = "what each entry contributed to the score, with sign"
_TEXTS = {
    "default": "what each entry contributed, by size and without sign; biases absorb their share",
    "contrastive": "what speaks for the answer and what speaks against it, apart",
    "epsilon": f"{_SHARES} (LRP-epsilon, stabilised relative to each layer)",
    "gradient": "the slope of the score at each entry: how the score would change with it",
    "gradient_x_input": "each entry times the slope of the score there",
    "lrp": f"{_SHARES} (LRP-epsilon, stabilised relative to each layer)",
    "attnlrp": f"{_SHARES}, through the weights of attention too (AttnLRP)",
    "cp-lrp": f"{_SHARES}, the weights of attention held (CP-LRP)",
    "cnn": f"{_SHARES} (LRP: gamma in convolutions, epsilon in dense layers)",
    "vit": f"{_SHARES} (AttnLRP: gamma in convolutions and dense layers)",
    "paths": f"{_SHARES}; of trees, what their splits change on the way to the leaf",
    "shap": "what each feature adds to the expected score of decision trees (SHAP values, exact)",
    "deeplift": "what each entry's difference to the baseline makes of the score's (DeepLIFT)",
    "integrated_gradients": "what each entry's difference to the baseline makes of the score's: "
    "the mean slope on the line from it",
    "expected_gradients": "what each entry's difference to a background makes of the score's: the "
    "mean slope on lines from its rows",
    "smoothgrad": "the mean slope of the score at each entry of inputs with noise",
    "gradcam": "where the channels of one tensor that raise the score are active",
}


def describe(method: Method) -> str:
    """What a method computes, in one line; "" where its author does not say."""
    name = method.name.partition("(")[0].strip()
    if method.carrier == "relevance" and name == "epsilon":
        return f"{_SHARES} (LRP-epsilon, with the absolute stabiliser that is named)"
    if method.carrier == "relevance" and name not in _TEXTS:  # a policy of the caller's own
        lines = (method.policy.coefficients.__doc__ or "").strip().splitlines()
        return lines[0].strip().rstrip(".") if lines else ""
    if method.composite and name not in PRESETS:
        rule = f"rule {method.name}" if name in SHARINGS else "rules of its own"
        return f"{_SHARES} (LRP with {rule} in layers with weights)"
    return _TEXTS.get(name, "")


__all__ = ["GROUPS", "describe"]
