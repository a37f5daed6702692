"""Relevance of groups of entries, for all samples of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx.results.group_members import Mask, Masks, Members, find_masks
from backtrace_onnx.results.groups import Group, Groups, Totals

if TYPE_CHECKING:
    from backtrace_onnx.explanation import Explanation
    from backtrace_onnx.inputs.sidecar import Sidecar


def group(explanation: Explanation, groups: Members, sidecar: Sidecar | None) -> Groups:
    """Sums of an explanation's groups. Raises RequestError for members that are not there."""
    from backtrace_onnx.report.entry_names import entry_names_of
    from backtrace_onnx.report.explained_sample import ExplainedSample

    first = ExplainedSample(explanation, sidecar=sidecar)
    named = entry_names_of(first)
    everywhere = find_masks(groups, named)

    def masks(sample: int) -> dict[str, Masks]:
        if not named.words or not sample:
            return everywhere
        return find_masks(
            groups, entry_names_of(ExplainedSample(explanation, sample, sidecar=sidecar))
        )

    each = [masks(sample) for sample in range(first.samples if named.words else 1)]
    made = {
        name: _summed(explanation, name, tuple(members), [m[name] for m in each], first.samples)
        for name, members in groups.items()
    }
    rest = {}
    for name, shape in named.shapes.items():
        left = [{name: _left(name, shape, m)} for m in each]
        if any(own[name].any() for own in left):
            rest[name] = _summed(explanation, name, (name,), left, first.samples)
    return Groups(made, rest)


def _left(name: str, shape: tuple[int, ...], masks: Mapping[str, Masks]) -> Mask:
    """The entries of an input that no group holds."""
    left = np.ones(shape, bool)
    for own in masks.values():
        if name in own:
            left &= ~own[name]
    return left


def _summed(
    explanation: Explanation,
    name: str,
    members: tuple[str, ...],
    masks: list[Masks],
    samples: int,
) -> Group:
    """Sums over the entries of the masks: one for all samples, or one for each."""
    sums = [np.zeros(samples), np.zeros(samples)]
    for channel, values in enumerate((explanation.positive, explanation.negative)):
        for sample in range(samples if len(masks) > 1 else 1):
            own = masks[sample]
            at = slice(sample, sample + 1) if len(masks) > 1 else slice(None)
            for place, mask in own.items():
                if place in values:
                    rows = _rows(explanation, place, values[place], samples)
                    sums[channel][at] += rows[at] @ mask.reshape(-1)
    counts = [sum(int(mask.sum()) for mask in own.values()) for own in masks]
    return Group(name, members, np.resize(np.array(counts), samples), sums[0], sums[1])


def _rows(explanation: Explanation, name: str, values: Any, samples: int) -> Totals:
    """[samples, entries]; of an input that is one for all samples every one has an even part."""
    axis = explanation.axes.get(name, 0 if values.ndim else None)
    if axis is None or values.shape[axis] != samples:
        return np.tile(values.reshape(1, -1).astype(np.float64) / samples, (samples, 1))
    rows: Totals = np.moveaxis(values, axis, 0).reshape(samples, -1).astype(np.float64)
    return rows
