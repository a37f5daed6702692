"""Names and files in settings, held to a model and its data before anything is explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from backtrace_onnx.audit.checks.masks import read_mask
from backtrace_onnx.audit.reason_texts import read_reasons
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import BacktraceError, InputError


def check_names(subject: AuditedModel, source: str) -> None:
    """Raise InputError naming every name that is no feature, and files that are not there.

    Args:
        source: what the settings are called.
    """
    settings = subject.settings
    wrong = [f"{source}: {key}: {told}" for key, told in _strange(subject)]
    for key, path in (("reference", settings.reference), ("mask", settings.mask)):
        if path is not None and not Path(path).is_file():
            wrong.append(f"{source}: {key}: {path}: no such file")
    if wrong:
        error = InputError("\n".join(wrong))
        error.in_lines = True
        raise error
    if settings.mask is not None:
        read_mask(Path(settings.mask), subject)


def _strange(subject: AuditedModel) -> Iterator[tuple[str, str]]:
    """A key, and what is wrong with a name in it."""
    settings, features = subject.settings, subject.features
    named: list[tuple[str, Sequence[str]]] = [
        ("sensitive", settings.sensitive),
        ("top_features.required", settings.top_features.required),
        ("top_features.forbidden", settings.top_features.forbidden),
    ]
    if settings.reasons is not None:
        texts = read_reasons(Path(settings.reasons))
        named += [(f"{texts.source}: reason {one.code}", one.features) for one in texts.reasons]
    for key, names in named:
        for name in names:
            try:
                features.named([name])
            except BacktraceError as error:
                yield key, str(error)


__all__ = ["check_names"]
