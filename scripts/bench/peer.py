"""The published implementation (PyPI dl-backtrace) on a BERT-sized encoder, on the CPU.

To be run in a virtual environment of its own, which is no part of this project:

    python -m venv peer && peer/bin/pip install torch transformers tensorflow numpy ipython \\
        graphviz joblib lime lz4 matplotlib ninja scikit-image seaborn threadpoolctl tqdm zstandard
    peer/bin/pip install --no-deps dl-backtrace==0.1.24
    peer/bin/python scripts/bench/peer.py [layers]

The package imports three CUDA extensions, and a module that newer releases of transformers lack,
wherever it runs; empty modules stand in for them, as device="cpu" calls none of them. Its engine
cannot run the masks of transformers' own BERT (it leaves their tensors empty), so the same encoder
is written here with torch's layers. It prints the processor time of an explanation relative to a
forward run by torch, as speed.py does for this project relative to a run by onnxruntime.
"""

from __future__ import annotations

import statistics
import sys
import time
import types
from collections.abc import Callable

_ABSENT = {
    "wt_fc_v3_ops": (),
    "wt_embedding_v2_ops": (),
    "wt_selfattention_v3_ops": (),
    "transformers.generation.beam_search": ("BeamSearchScorer",),
}
WIDTH, HEADS, TOKENS, VOCABULARY, ROUNDS = 768, 12, 128, 30522, 5


def stand_in() -> None:
    """Empty modules for what the package imports and does not need on the CPU."""
    import transformers  # noqa: F401  (its submodule must find it)

    for name, contents in _ABSENT.items():
        module = types.ModuleType(name)
        for item in contents:
            setattr(module, item, object)
        sys.modules.setdefault(name, module)


def encoder(layers: int):  # type: ignore[no-untyped-def]
    """BERT-base's encoder with a two-class head, random weights."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.mixed = (
                nn.Linear(WIDTH, WIDTH) for _ in range(4)
            )
            self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = (
                layer(x).view(1, TOKENS, HEADS, WIDTH // HEADS).transpose(1, 2)
                for layer in (self.query, self.key, self.value)
            )
            scores = torch.matmul(q, k.transpose(-1, -2)) / (WIDTH // HEADS) ** 0.5
            mixed = torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2)
            x = self.first(x + self.mixed(mixed.reshape(1, TOKENS, WIDTH)))
            return self.second(x + self.narrow(nn.functional.gelu(self.wide(x))))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)
            self.norm = nn.LayerNorm(WIDTH)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.pooler, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

        def forward(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.words(ids) + self.places(places))
            for layer in self.layers:
                x = layer(x)
            return self.head(torch.tanh(self.pooler(x[:, 0])))

    return Encoder().eval()


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Median processor time of a call, which a busy machine does not change."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        run()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def main() -> None:
    """Print the times and their ratio."""
    stand_in()
    import torch
    from dl_backtrace.pytorch_backtrace import DLBacktrace

    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    torch.manual_seed(0)
    model, ids = encoder(layers), torch.randint(0, VOCABULARY, (1, TOKENS))
    places = torch.arange(TOKENS)[None]
    with torch.no_grad():
        forward = seconds(lambda: model(ids, places), 2 * ROUNDS)
    backtrace = DLBacktrace(model, (ids, places), device="cpu")

    def explain() -> None:
        made = backtrace.predict(ids, places)
        assert made["output"]["output_values"] is not None, "its engine could not run the model"
        backtrace.evaluation(mode="default", multiplier=1.0, task="multi-class classification")

    took = seconds(explain, 1)
    print(f"{layers} layers: forward {forward * 1e3:.0f} ms, explanation {took:.1f} s")
    print(f"ratio {took / forward:.0f}x")


if __name__ == "__main__":
    main()
