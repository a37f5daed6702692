"""Methods that are more than one walk, as data: what each of them is asked for.

Sources: integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365), SmoothGrad (Smilkov et
al. 2017, arXiv 1706.03825), expected gradients (Erion et al. 2021, arXiv 1906.10670; the "gradient
SHAP" of shap), Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391), TreeSHAP (Lundberg et al. 2020,
arXiv 1905.04610).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Conserved = Literal["score", "difference", "nothing"]
"""What a ledger's parts add up to: the score that is explained, its difference to that of a
reference, or nothing that a method promises."""


@dataclass(frozen=True)
class IntegratedGradients:
    """(x - x0) times the mean of `gradient` over the line from a baseline x0 to x.

    Attributes:
        steps: Gauss-Legendre points on each line; None: doubled until they are enough.
    """

    steps: int | None = None
    moves: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ("baseline", "background")
    conserved: ClassVar[Conserved] = "difference"


@dataclass(frozen=True)
class SmoothGrad:
    """The mean of `gradient` over noisy inputs.

    Attributes:
        noise: standard deviation of the noise, in parts of the range of each sample's input.
        samples: how many noisy inputs there are.
        seed: of the noise.
    """

    noise: float = 0.1
    samples: int = 32
    seed: int = 0
    moves: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ()
    conserved: ClassVar[Conserved] = "nothing"


@dataclass(frozen=True)
class ExpectedGradients:
    """The mean of (x - b) * `gradient` over rows b of a background and places on the line to x.

    Attributes:
        samples: how many rows and places are drawn.
        seed: of the draws.
    """

    samples: int = 200
    seed: int = 0
    moves: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ("background",)
    conserved: ClassVar[Conserved] = "difference"


@dataclass(frozen=True)
class GradCam:
    """relu(sum over channels of mean slope * activation) at one tensor, enlarged to the input.

    Attributes:
        tensor: name of the tensor; None: the last one with spatial axes.
    """

    tensor: str | None = None
    moves: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ()
    conserved: ClassVar[Conserved] = "nothing"


@dataclass(frozen=True)
class TreeShap:
    """Exact Shapley values of the features that decision trees ask for.

    Attributes:
        perturbation: what an absent feature is: "path", either way in the proportion in which
            samples went it; "background", that of a background's rows, in the mean. None: the
            latter where a background is given.
    """

    perturbation: str | None = None
    moves: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("background",)
    conserved: ClassVar[Conserved] = "score"


Walks = IntegratedGradients | SmoothGrad | ExpectedGradients | GradCam | TreeShap

__all__ = [
    "Conserved",
    "ExpectedGradients",
    "GradCam",
    "IntegratedGradients",
    "SmoothGrad",
    "TreeShap",
    "Walks",
]
