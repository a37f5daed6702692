"""A baseline: what an audited model's reasons were, small enough to be reviewed in a repository."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backtrace_onnx.audit.histograms import Histogram, histogram
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.array_files import parsed_json
from backtrace_onnx.model.loading import load
from backtrace_onnx.provenance import versions

Array = npt.NDArray[Any]
DIGITS = 6
ROUNDED = 10.0**-DIGITS
KINDS = ("shares", "inputs")
"""What of a feature is counted by row."""


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
    rows: int = Field(ge=1)


class FeatureFacts(_Part):
    """What a feature was worth.

    Attributes:
        share: mean part of a row's |relevance|. signed: the same with its sign.
        shares: how these parts were distributed over rows, with sign. inputs: what it held.
    """

    name: str
    share: float = Field(ge=0, le=1)
    signed: float = Field(ge=-1, le=1)
    shares: Histogram
    inputs: Histogram

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if abs(self.signed) > self.share + ROUNDED:
            raise ValueError(f"{self.name!r}: signed ({self.signed}) is more than share")
        return self


class AnswerFacts(_Part):
    """What the model answered.

    Attributes:
        predictions: classes, or the numbers of a regression.
        sha256: of the classes in the rows' order. accuracy: of labelled data.
    """

    predictions: Histogram
    sha256: str
    accuracy: float | None = Field(default=None, ge=0, le=1)


class Baseline(_Part):
    """All that later models are compared with.

    Attributes:
        mode: as settled, where the settings say "auto". compared: what it compares with where
            that was chosen, too.
        versions: of this software and what it computes with.
        label: the column of the true answers, where settings named one.
        features: none of texts, whose places hold other words in each row.
    """

    kind: Literal["backtrace-onnx audit baseline"] = "backtrace-onnx audit baseline"
    schema_version: Literal[1] = 1
    model: ModelFacts
    data: DataFacts
    mode: str
    compared: str | None = None
    output: str
    task: str
    seed: int
    versions: dict[str, str]
    label: str | None = None
    features: tuple[FeatureFacts, ...]
    answers: AnswerFacts

    @model_validator(mode="after")
    def _sound(self) -> Self:
        """What is written of one set of rows agrees."""
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"feature {twice!r} is there twice")
        counted = [(f.name, kind, getattr(f, kind)) for f in self.features for kind in KINDS]
        counted.append(("answers", "predictions", self.answers.predictions))
        for name, kind, found in counted:
            if found.rows != self.data.rows:
                rows = f"{found.rows} row(s), and there are {self.data.rows}"
                raise ValueError(f"{name!r}: {kind} count {rows}")
        whole = sum(feature.share for feature in self.features)
        if whole > 1 + len(names) * ROUNDED:
            raise ValueError(f"the features' shares are {whole:.6g} together, more than 1")
        return self

    @classmethod
    def of(cls, subject: AuditedModel, like: Baseline | None = None) -> Baseline:
        """The baseline of a model on its data, in the bins of another one of the same features.

        Features of texts are places in them, of which a baseline says nothing.
        """
        names = subject.features.names
        was = like.features if like and tuple(f.name for f in like.features) == names else None
        first = subject.whole.first
        count = 0 if subject.features.in_texts else len(names)
        return cls(
            model=model_facts(subject),
            data=DataFacts(sha256=subject.data.sha256, rows=subject.data.count),
            mode=first.mode,
            compared=subject.settled.get("baseline"),
            output=first.output,
            task=first.task,
            seed=subject.seed,
            versions={**versions()},
            label=subject.settings.label,
            features=tuple(_feature(subject, i, was[i] if was else None) for i in range(count)),
            answers=_answers(subject, like.answers if like else None),
        )

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """Read a baseline. Raises InputError naming the file and what is wrong in it."""
        try:
            return cls.model_validate(parsed_json(path.read_bytes(), f"{path}: no baseline"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
            told = first["msg"].removeprefix("Value error, ")
            raise InputError(
                f"{path}: no baseline ({where}{told}); --write-baseline makes one"
            ) from None

    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"


def load_baselines(paths: Sequence[Path]) -> tuple[Baseline, ...]:
    """Baselines that can be compared with each other. Raises InputError naming two that cannot."""
    made = tuple(map(Baseline.load, paths))
    known: dict[tuple[str, str], Path] = {}
    for path, one in zip(paths, made, strict=True):
        same = known.setdefault((one.model.sha256, one.data.sha256), path)
        if same is not path:
            raise InputError(
                f"{path} and {same} are of one model and the same data: several baselines are of "
                "models that were trained anew, and say how much reasons move by chance"
            )
    for path, one in zip(paths[1:], made[1:], strict=True):
        if one.mode != made[0].mode:
            raise InputError(f"{path} is of mode {one.mode}, {paths[0]} of {made[0].mode}")
        if _bins(one) != _bins(made[0]):
            raise InputError(
                f"{path} and {paths[0]} have other features or bins; write the second with "
                f"--baseline {paths[0]} --write-baseline {path}"
            )
    return made


def answers(subject: AuditedModel) -> Array:
    """What the model answers to each row: str of classes, float64 of a regression."""
    whole = subject.whole
    if not subject.classes:
        return whole.scores[:, 0]
    labels = subject.labels
    classes = whole.scores.argmax(1)
    named = labels if len(labels) == whole.scores.shape[1] else None
    return np.array([named[c] if named else str(c) for c in classes], object)


def accuracy(subject: AuditedModel) -> float | None:
    """Part of the labelled rows that are answered as their label; None without labels, or classes.

    Raises InputError where a label is none of the classes.
    """
    right = accuracy_of(subject)
    return None if right is None or np.isnan(right).all() else float(np.nanmean(right))


def accuracy_of(subject: AuditedModel) -> Array | None:
    """float64[rows]: 1 where a row is answered as its label, 0 where not, NaN where it has none.

    As `accuracy` says.
    """
    given = subject.data.labels
    if given is None or not subject.classes:
        return None
    known = subject.labels or tuple(map(str, range(subject.whole.scores.shape[1])))
    places = {str(i): name for i, name in enumerate(known)} | {name: name for name in known}
    meant = {label: places.get(label) or places.get(_plain(label)) for label in set(given) - {""}}
    strange = sorted(label for label, name in meant.items() if name is None)
    if strange:
        where = subject.data.place(list(given).index(strange[0]))
        raise InputError(
            f"{where}, column {subject.data.label!r}: label {strange[0]!r} is none of the model's "
            f"classes: {', '.join(known[:10])}"
        )
    pairs = zip(answers(subject), given, strict=True)
    return np.array([places[n] == meant[g] if g else np.nan for n, g in pairs], np.float64)


def _plain(label: str) -> str:
    """The number of a class as tables have it that lack some, 1.0, or know two, True, as 1."""
    as_number = {"true": "1", "false": "0"}.get(label.lower(), label)
    return as_number.removesuffix(".0")


def model_facts(subject: AuditedModel) -> ModelFacts:
    """Which model it is."""
    loaded = load(subject.model)
    opset = {domain or "ai.onnx": number for domain, number in loaded.opsets.items()}
    wrote = f"{loaded.proto.producer_name} {loaded.proto.producer_version}".strip()
    return ModelFacts(sha256=subject.sha256, opset=opset, producer=wrote)


def answers_sha256(subject: AuditedModel) -> str:
    """Of the classes in the rows' order; of a regression of numbers of six digits."""
    found = answers(subject)
    texts = found if subject.classes else [f"{value:.6g}" for value in found]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _bins(baseline: Baseline) -> list[Any]:
    histograms = [h for f in baseline.features for h in (f.shares, f.inputs)]
    histograms.append(baseline.answers.predictions)
    names = [f.name for f in baseline.features]
    return [names, *((h.edges, h.values) for h in histograms)]


def _answers(subject: AuditedModel, like: AnswerFacts | None) -> AnswerFacts:
    return AnswerFacts(
        predictions=_binned(answers(subject), like.predictions if like else None),
        sha256=answers_sha256(subject),
        accuracy=accuracy(subject),
    )


def _binned(values: Array, like: Histogram | None) -> Histogram:
    return histogram(values) if like is None else like.again(values)


def _feature(subject: AuditedModel, feature: int, like: FeatureFacts | None) -> FeatureFacts:
    shares = subject.whole.shares[:, feature]
    return FeatureFacts(
        name=subject.features.names[feature],
        share=round(float(np.abs(shares).mean()), DIGITS),
        signed=round(float(shares.mean()), DIGITS),
        shares=_binned(shares, like.shares if like else None),
        inputs=_binned(
            subject.features.values(feature, subject.data), like.inputs if like else None
        ),
    )


__all__ = [
    "Baseline",
    "ModelFacts",
    "accuracy",
    "accuracy_of",
    "answers",
    "answers_sha256",
    "load_baselines",
    "model_facts",
]
