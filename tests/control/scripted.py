"""A torch module whose loop and branches only TorchScript keeps."""

from __future__ import annotations

import torch


class Cell(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """A recurrent net over any number of steps that halves its state where it is positive."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = torch.nn.Linear(3, 5)
        self.recurrent = torch.nn.Linear(5, 5)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """y[N, 2] of x[N, T, 3]."""
        h = torch.zeros(x.shape[0], 5)
        rows = []
        for t in range(x.shape[1]):
            h = torch.tanh(self.inside(x[:, t]) + self.recurrent(h))
            if bool(h.sum() > 0):
                h = h * 0.5
            rows.append(h)
        mean: torch.Tensor = torch.stack(rows, 1).mean(1)
        out: torch.Tensor = self.head(mean)
        return out
