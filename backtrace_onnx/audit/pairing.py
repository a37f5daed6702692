"""Models that are compared on the same data: their sidecars, and whether features are alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.sidecar import Sidecar

_TOLD = 8


def find_sidecars(
    models: Sequence[Path], given: Sidecar | None
) -> tuple[list[Sidecar | None], tuple[str, ...]]:
    """The sidecar of each model, and notes: the given one, its own, or else the first of others.

    Raises InputError where one is none.
    """
    if given is not None:
        return [given] * len(models), ()
    own = [Sidecar.beside(path) for path in models]
    first = next((sidecar for sidecar in own if sidecar is not None), None)
    if first is None:
        return own, ()
    notes = [
        f"{path} has no sidecar of its own, and is read with {first.path}"
        for path, sidecar in zip(models, own, strict=True)
        if sidecar is None
    ]
    return [sidecar or first for sidecar in own], tuple(dict.fromkeys(notes))


def check_features(new: AuditedModel, models: Sequence[AuditedModel]) -> None:
    """Raise InputError naming the features that one model has and the other has not."""
    for old in models:
        was, now = old.features.names, new.features.names
        if was == now:
            continue
        if old.features.in_texts and new.features.in_texts:
            told = f"texts have up to {len(was)} and {len(now)} tokens: their tokenizers differ"
        else:
            apart = [
                f"only {model} has {_listed([n for n in own if n not in other])}"
                for model, own, other in ((old.model, was, now), (new.model, now, was))
                if set(own) - set(other)
            ]
            told = "; ".join(apart) or "they are in another order"
        raise InputError(
            f"{new.model} and {old.model} cannot be compared, as their features are others: {told}"
        )


def explain_alike(old: AuditedModel, new: AuditedModel) -> None:
    """Have a model explained in the mode of another one, whatever "auto" would settle on for it."""
    settled = new.settled
    old.settings = old.settings.model_copy(update={"mode": settled.pop("mode")})
    old.compared = settled


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _TOLD
    return ", ".join(names[:_TOLD]) + (f" and {more} more" if more > 0 else "")


__all__ = ["check_features", "explain_alike", "find_sidecars"]
