"""One export of the sweep, and where the exports are listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODULES = {
    "sklearn": "sklearn_cases",
    "torch": "torch_cases",
    "keras": "keras_cases",
    "variants": "variant_cases",
    "transformers": "transformer_cases",
}
"""Groups of cases, by the module that lists them; each is run in a process of its own."""


@dataclass(frozen=True)
class Case:
    """How a file is made.

    Attributes:
        family, network, exporter: what it is, in the words of the table.
        make: writes the file and returns the inputs to explain it on.
    """

    family: str
    network: str
    exporter: str
    make: Callable[[Path], dict[str, np.ndarray]]

    @property
    def name(self) -> str:
        """Unique among all cases."""
        return f"{self.family} / {self.network} / {self.exporter}"
