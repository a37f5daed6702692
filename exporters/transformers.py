"""From a transformers model to .onnx."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.exported import Exported
from backtrace_onnx.exporters.extras import need
from backtrace_onnx.exporters.pytorch import OPSET, from_torch
from backtrace_onnx.exporters.torch_exporters import Exporter
from backtrace_onnx.model.sessions import first_line

if TYPE_CHECKING:
    from backtrace_onnx.exporters.torch_inputs import Dynamic

TASKS = {
    "feature-extraction": "AutoModel",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "fill-mask": "AutoModelForMaskedLM",
    "text-generation": "AutoModelForCausalLM",
    "image-classification": "AutoModelForImageClassification",
}
_TOKENS = 8


def from_transformers(
    model: Any,
    task: str | None,
    path: str | os.PathLike[str],
    *,
    example: Any = None,
    exporter: Exporter = "auto",
    dynamic: Dynamic = True,
    opset: int = OPSET,
    verify: bool = True,
    tolerance: float | None = None,
) -> Exported:
    """Write a transformers model as an .onnx file that computes the same.

    Args:
        model: a model, or the folder it was saved to. Code in the folder is not run.
        task: what a folder is loaded for: text-generation, text-classification, ...; None for a
            model.
        example: keyword arguments of forward; default: ids and mask of 8 tokens, or pixels.

    Text models take `input_ids` and `attention_mask`, with batch and sequence open; no past keys
    and values. The other arguments, and what is raised, are those of `from_torch`.
    """
    need("torch", "transformers", "from_transformers")
    need("transformers", "transformers", "from_transformers")
    loaded = _load(Path(model), task) if isinstance(model, str | os.PathLike) else model
    if not hasattr(loaded, "config"):
        raise ExportError(
            f"from_transformers takes a model or its folder, not {type(loaded).__name__}"
        )
    given = example or _example(loaded)
    with _plain(loaded):
        return from_torch(
            loaded,
            given,
            path,
            exporter=exporter,
            dynamic=dynamic,
            opset=opset,
            verify=verify,
            tolerance=tolerance,
        )


def _load(folder: Path, task: str | None) -> Any:
    import transformers

    if task not in TASKS:
        raise ExportError(f"task is one of {', '.join(TASKS)}, not {task!r}")
    if not (folder / "config.json").is_file():
        raise ExportError(f"{folder}: holds no transformers model (there is no config.json in it)")
    try:
        return getattr(transformers, TASKS[task]).from_pretrained(
            folder, attn_implementation="eager", local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises many types
        raise ExportError(f"{folder}: cannot be loaded for {task}: {first_line(error)}") from None


def _example(model: Any) -> dict[str, Any]:
    """Inputs for the model's kind; ids are drawn from its vocabulary, without padding."""
    import torch

    config = model.config
    name = getattr(model, "main_input_name", "input_ids")
    if name == "input_ids" and not getattr(config, "is_encoder_decoder", False):
        random = torch.Generator().manual_seed(0)
        low = 1 + max(0, getattr(config, "pad_token_id", None) or 0)
        low = low if low < config.vocab_size else 0
        ids = torch.randint(low, config.vocab_size, (2, _TOKENS), generator=random)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    size = getattr(config, "image_size", None)
    if name == "pixel_values" and size is not None:
        height, width = (size, size) if isinstance(size, int) else tuple(size)
        channels = getattr(config, "num_channels", 3)
        random = torch.Generator().manual_seed(0)
        return {"pixel_values": torch.randn(2, channels, height, width, generator=random)}
    raise ExportError(f"{type(model).__name__} takes {name}: give an example, as a dict of tensors")


@contextmanager
def _plain(model: Any) -> Iterator[None]:
    """Attention written out, and no past keys and values returned, while the model is exported."""
    config = model.config
    before = {
        name: getattr(config, name)
        for name in ("use_cache", "_attn_implementation")
        if hasattr(config, name)
    }
    if "use_cache" in before:
        config.use_cache = False
    if "_attn_implementation" in before:
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        if "use_cache" in before:
            config.use_cache = before["use_cache"]
        if before.get("_attn_implementation"):
            model.set_attn_implementation(before["_attn_implementation"])
