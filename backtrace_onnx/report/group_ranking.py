"""The ranking where entries are grouped: the groups, and the parts of what no group holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.entry_names import entry_names_of
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_parts import InputPart
from backtrace_onnx.results.group_members import Masks, find_masks

Array = npt.NDArray[Any]
Parts = Callable[[ExplainedSample, str], Iterable[InputPart]]


def grouped(subject: ExplainedSample, names: Iterable[str], parts: Parts) -> Iterator[InputPart]:
    """A part for every group, and those of the inputs without the entries of groups.

    Parts that groups hold altogether are left out. Raises RequestError for groups that do not fit.
    """
    masks = find_masks(subject.groups, entry_names_of(subject))
    yield from (_group(subject, name, own) for name, own in masks.items())
    bare = replace(subject, groups={})
    rest, ones = _without(bare, masks), _without(_counting(bare), masks)
    for name in names:
        held = [own[name] for own in masks.values() if name in own]
        if not held:
            yield from parts(bare, name)
        elif not np.logical_or.reduce(held).all():
            gone = np.logical_or.reduce(held)
            left = {_key(part) for part in parts(ones, name) if part.relevance}
            for part in parts(rest, name):
                single = part.index is not None and len(part.index) == gone.ndim
                if not gone[part.index] if single and part.span is None else _key(part) in left:
                    yield part


def check_groups(subjects: Sequence[ExplainedSample]) -> None:
    """Raise RequestError where the groups do not fit; only texts have words of their own."""
    for subject in subjects if subjects[0].texts else subjects[:1]:
        if subject.groups:
            find_masks(subject.groups, entry_names_of(subject))


def _key(part: InputPart) -> tuple[Any, ...]:
    return part.name, part.box, part.index, part.span


def _group(subject: ExplainedSample, name: str, masks: Masks) -> InputPart:
    e = subject.explanation
    members = tuple(map(str, subject.groups[name]))
    channels = [
        sum(_held(subject.own(values[place], place), mask) for place, mask in masks.items())
        for _, values in subject.channels
    ]
    total = channels[0] - channels[1] if len(channels) > 1 else channels[0]
    found = any(mask.any() for mask in masks.values())
    return InputPart(
        ", ".join(place for place in e.inputs if place in masks),
        name,
        total,
        tuple(channels),
        members=members,
        value=None if found else "not in this text",
    )


def _held(relevance: Array, mask: Array) -> float:
    return float(relevance[mask].sum(dtype=np.float64))


def _without(subject: ExplainedSample, masks: Mapping[str, Masks]) -> ExplainedSample:
    """The subject of an explanation in which the entries of groups have no relevance."""
    e = subject.explanation

    def cut(values: Mapping[str, Array]) -> dict[str, Array]:
        made = dict(values)
        for own in masks.values():
            for place, mask in own.items():
                if place in made:
                    made[place] = np.where(_spread(subject, place, mask), 0, made[place])
        return made

    relevance, positive, negative = map(cut, (e.relevance, e.positive, e.negative))
    made = replace(e, relevance=relevance, positive=positive, negative=negative)
    return replace(subject, explanation=made)


def _spread(subject: ExplainedSample, place: str, mask: Array) -> Array:
    """A sample's mask, over the axis of the samples."""
    shape = np.shape(subject.explanation.inputs[place])
    if shape == mask.shape:
        return mask
    axis = subject.sample_axis(place, shape)
    return mask if axis is None else np.expand_dims(mask, axis)


def _counting(subject: ExplainedSample) -> ExplainedSample:
    """The subject with a relevance of 1 everywhere, which tells what parts hold anything."""
    e = subject.explanation
    ones = {name: np.ones(np.shape(r)) for name, r in e.positive.items()}
    return replace(subject, explanation=replace(e, relevance=ones, positive=ones))
