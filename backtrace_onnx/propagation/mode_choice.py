"""Mode "auto": what is explained best how, by what the graph is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from backtrace_onnx.errors import UnsupportedError
from backtrace_onnx.graph.operator_families import EXPONENTIAL
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.methods.composites import family_of
from backtrace_onnx.methods.named import SHAP
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.tree_ways import check_tree_ways

AUTO = "auto"
_PICKED = "mode auto picked "


@dataclass(frozen=True)
class Choice:
    """What explains.

    Attributes:
        mode: by name, or as it was given.
        notes: which mode was picked, where one was.
        baseline: what it compares with where nothing was given; None: what it says itself.
    """

    mode: Any
    notes: tuple[Note, ...] = ()
    baseline: str | None = None


def settle_mode(
    mode: Any,
    make_plan: Callable[[], Plan],
    output: str,
    references: Collection[str] = (),
    *,
    pictures: bool = False,
    columns: bool = False,
    contrast: bool = False,
) -> Choice:
    """The mode; in place of "auto" the one that is for such networks, and a note that names it.

    Of what is signed, what explains such networks best (docs/benchmark.md): whatever compares where
    there is something to compare with, rows of columns with each row of a background; attnlrp for
    attention, lrp elsewhere; for convolutions deeplift, which compares pictures with themselves,
    blurred, and cnn where there is no picture.

    Args:
        make_plan: the plan of the output; it is asked for where it is needed.
        references: which of "baseline" and "background" are given.
        pictures, columns: whether the inputs are at hand, and are pictures, or rows of columns.
        contrast: whether one answer is set against another, which mode default knows no signs for.
    """
    if not isinstance(mode, str) or mode.strip() != AUTO:
        return Choice(mode)
    picked, why = _choice(make_plan(), output, references)
    if picked == "default" and contrast:
        picked = "contrastive"
    if picked == "cnn" and pictures:
        more = "the network has convolutions, and its pictures are compared with blurred ones"
        return Choice("deeplift", (_note("deeplift", more),), "blur")
    each = picked == "deeplift" and columns and set(references) == {"background"}
    return Choice(picked, (_note(picked, why),), "rows" if each else None)


def picked_baseline(mode: str) -> str | None:
    """What auto compares with by itself where it picked `mode`, and nothing was given to it."""
    return "blur" if mode == "deeplift" else None


def is_choice(text: str) -> bool:
    """Whether a sentence is the note of what auto picked."""
    return text.startswith(_PICKED)


def _note(picked: str, why: str) -> Note:
    return Note(f"{_PICKED}{picked}: {why}")


def _choice(plan: Plan, output: str, references: Collection[str]) -> tuple[str, str]:
    if without := sorted(plan.slopeless(output)):
        return "default", f"no signed mode explains {', '.join(without)}"
    if (trees := _of_trees(plan, output, references)) is not None:
        return trees
    if references:
        return "deeplift", "there is something to compare with"
    families = set(_families(plan, output))
    if "attention" in families:
        return "attnlrp", "the network has attention"
    if "convolution" in families:
        return "cnn", "the network has convolutions"
    return "lrp", "the network has neither attention nor convolutions, and no background is given"


def _of_trees(plan: Plan, output: str, references: Collection[str]) -> tuple[str, str] | None:
    """What explains a model that is trees, with what is linear behind them and their own columns
    before."""
    if "baseline" in references:
        return None
    heads = [n.name for n in plan.graph.nodes if n.op_type in EXPONENTIAL | {"Sigmoid"}]
    try:
        nodes = check_tree_ways(plan, output, heads)
    except UnsupportedError:
        return None
    if not nodes:
        return None
    why = "the model is made of decision trees"
    if references or all(plan.structures[node.name].refuses(SHAP) is None for node in nodes):
        return "shap", why
    return "paths", f"{why}, and without a background nothing says how often they were visited"


def _families(plan: Plan, output: str) -> Iterator[str | None]:
    for node in plan.graph.ancestors(output):
        if plan.carriers.intersection(node.inputs):
            yield family_of(node, plan.carriers)
