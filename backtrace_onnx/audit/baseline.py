"""A baseline: what an audited model's reasons were, small enough to be reviewed in a repository."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from backtrace_onnx import __version__
from backtrace_onnx.audit.histograms import Histogram, histogram
from backtrace_onnx.audit.subject import Subject
from backtrace_onnx.errors import InputError
from backtrace_onnx.model.loading import load

Array = npt.NDArray[Any]
DIGITS = 6


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelFacts(_Part):
    """Which model it was.

    Attributes:
        opset: version by domain. producer: what wrote the file.
    """

    sha256: str
    opset: dict[str, int]
    producer: str


class DataFacts(_Part):
    """Which data they were."""

    sha256: str
    rows: int


class FeatureFacts(_Part):
    """What a feature was worth.

    Attributes:
        share: mean part of a row's |relevance|. signed: the same with its sign.
        shares: how these parts were distributed over rows, with sign. inputs: what it held.
    """

    name: str
    share: float
    signed: float
    shares: Histogram
    inputs: Histogram


class AnswerFacts(_Part):
    """What the model answered.

    Attributes:
        predictions: classes, or the numbers of a regression.
        sha256: of the classes in the rows' order. accuracy: of labelled data.
    """

    predictions: Histogram
    sha256: str
    accuracy: float | None = None


class Baseline(_Part):
    """All that later models are compared with.

    Attributes:
        mode: as settled, where the settings say "auto".
        versions: of this software and what it computes with.
    """

    kind: Literal["backtrace-onnx audit baseline"] = "backtrace-onnx audit baseline"
    schema_version: Literal[1] = 1
    model: ModelFacts
    data: DataFacts
    mode: str
    output: str
    task: str
    seed: int
    versions: dict[str, str]
    features: tuple[FeatureFacts, ...]
    answers: AnswerFacts

    @classmethod
    def of(cls, subject: Subject) -> Baseline:
        """The baseline of a model on its data."""
        first = subject.whole.first
        return cls(
            model=model_facts(subject),
            data=DataFacts(sha256=subject.data.sha256, rows=subject.data.count),
            mode=first.mode,
            output=first.output,
            task=first.task,
            seed=subject.seed,
            versions=versions(),
            features=tuple(_feature(subject, i) for i in range(len(subject.features.names))),
            answers=_answers(subject),
        )

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """Read a baseline. Raises InputError naming the file and what is wrong in it."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{path}: no baseline of this version ({where or 'the file'}: {first['msg']}); "
                "--write-baseline makes one"
            ) from None

    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"


def answers(subject: Subject) -> Array:
    """What the model answers to each row: str of classes, float64 of a regression."""
    whole = subject.whole
    if not subject.classes:
        return whole.scores[:, 0]
    labels = subject.labels
    classes = whole.scores.argmax(1)
    named = labels if len(labels) == whole.scores.shape[1] else None
    return np.array([named[c] if named else str(c) for c in classes], object)


def accuracy(subject: Subject) -> float | None:
    """Part of the rows that are answered as their label; None without labels, or classes.

    Raises InputError where no label is one of the classes.
    """
    given = subject.data.labels
    if given is None or not subject.classes:
        return None
    known = subject.labels or tuple(map(str, range(subject.whole.scores.shape[1])))
    strange = sorted(set(given) - set(known) - set(map(str, range(len(known)))))
    if strange:
        raise InputError(
            f"label {strange[0]!r} is none of the model's classes: {', '.join(known[:10])}"
        )
    places = {str(i): name for i, name in enumerate(known)} | {name: name for name in known}
    meant = np.array([places[label] for label in given], object)
    names = answers(subject)
    return float(np.mean([places[n] == m for n, m in zip(names, meant, strict=True)]))


def versions() -> dict[str, str]:
    """Of this software, and of what it computes with."""
    others = {name: version(name) for name in ("numpy", "onnx", "onnxruntime")}
    return {"backtrace-onnx": __version__, **others}


def model_facts(subject: Subject) -> ModelFacts:
    """Which model it is."""
    loaded = load(subject.model)
    opset = {domain or "ai.onnx": number for domain, number in loaded.opsets.items()}
    wrote = f"{loaded.proto.producer_name} {loaded.proto.producer_version}".strip()
    return ModelFacts(sha256=subject.sha256, opset=opset, producer=wrote)


def answers_sha256(subject: Subject) -> str:
    """Of the classes in the rows' order; of a regression of numbers of six digits."""
    found = answers(subject)
    texts = found if subject.classes else [f"{value:.6g}" for value in found]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _answers(subject: Subject) -> AnswerFacts:
    return AnswerFacts(
        predictions=histogram(answers(subject)),
        sha256=answers_sha256(subject),
        accuracy=accuracy(subject),
    )


def _feature(subject: Subject, feature: int) -> FeatureFacts:
    shares = subject.whole.shares[:, feature]
    return FeatureFacts(
        name=subject.features.names[feature],
        share=round(float(np.abs(shares).mean()), DIGITS),
        signed=round(float(shares.mean()), DIGITS),
        shares=histogram(shares),
        inputs=histogram(subject.features.values(feature, subject.data)),
    )


__all__ = ["Baseline", "accuracy", "answers", "answers_sha256", "model_facts", "versions"]
