"""Small networks of the transformers library by torch's exporters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from architecture import Architecture
from architectures import ARCHITECTURES
from cases import Case
from exporting import export
from more_architectures import MORE

LEGACY = (
    "BERT",
    "DistilBERT",
    "ALBERT",
    "DeBERTa-v2",
    "T5",
    "BART",
    "GPT-2",
    "GPT-NeoX",
    "OPT",
    "BLOOM",
    "Llama",
    "Mistral",
    "Qwen2",
    "Gemma 2",
    "Phi-3",
    "Falcon",
    "Mamba",
    "ViT",
    "BEiT",
    "Swin",
    "DINOv2",
    "ConvNeXt",
    "MobileViT",
    "SegFormer",
    "YOLOS",
    "CLIP",
    "Whisper",
    "wav2vec2",
    "PatchTST",
    "LSTM",
    "GRU",
    "TCN",
)


def cases() -> Iterator[Case]:
    """Every network by the new exporter, many by the old one."""
    for name, make in (ARCHITECTURES | MORE).items():
        yield Case("transformers", name, "torch dynamo, plain", _maker(make, dynamo=True))
    for name in LEGACY:
        maker = _maker(ARCHITECTURES[name], dynamo=False)
        yield Case("transformers", name, "torch legacy, plain", maker)


def _maker(
    make: Callable[[], Architecture], *, dynamo: bool
) -> Callable[[Path], dict[str, np.ndarray]]:
    return lambda path: export(make(), path, dynamo=dynamo)
