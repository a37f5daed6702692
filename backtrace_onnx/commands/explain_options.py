"""What the command `explain` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backtrace_onnx.commands.target_options import TokenOptions


@dataclass(frozen=True)
class ExplainOptions:
    """What the command line asks for; None where the sidecar or the default decides.

    Attributes:
        pictures: whether pictures are drawn, which show relevance inside. page: whether a page is
            written, which tells the rules of all nodes, too.
        check: whether other explanations are asked for what is doubtful of this one.
        targets: one for all samples, or one for each. each: several for every sample, or "all".
    """

    model: Path
    inputs: Sequence[str]
    mode: str = "auto"
    targets: Sequence[str] = ()
    each: Sequence[str] = ()
    output: str | None = None
    task: str | None = None
    scaler: float | None = None
    threshold: float | None = None
    sample_axis: str | None = None
    class_axis: int | None = None
    on_unsupported: Literal["error", "pass", "stop"] = "error"
    engine: Literal["numba", "onnxruntime"] = "numba"
    sidecar: Path | None = None
    tokenizer: Path | None = None
    token: str | None = None
    rather_than: str | None = None
    continuation: str | None = None
    words: bool = False
    groups: Sequence[str] = ()
    start: Literal["probability"] | None = None
    truncate: bool = False
    boxes: int = 1
    baselines: Sequence[str] = ()
    background: Path | None = None
    through: Sequence[str] = ()
    attention: str | None = None
    reasons: Path | None = None
    check: bool = True
    pictures: bool = False
    page: bool = False

    @property
    def tokens(self) -> TokenOptions:
        """What is asked of a language model."""
        return TokenOptions(self.token, self.rather_than, self.continuation)
