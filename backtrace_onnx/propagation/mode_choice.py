"""Mode "auto": what is explained best how, by what the graph is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from backtrace_onnx.messages.notes import Note
from backtrace_onnx.methods.composites import family_of
from backtrace_onnx.propagation.plan import Plan

AUTO = "auto"


def settle_mode(
    mode: Any, make_plan: Callable[[], Plan], output: str, references: bool = False
) -> tuple[Any, tuple[Note, ...]]:
    """The mode; in place of "auto" the one that is for such networks, and a note that names it.

    Of what is signed, what explains such networks best (docs/methods.md): whatever compares where
    there is something to compare with, attnlrp for attention, cnn for convolutions, lrp elsewhere.

    Args:
        make_plan: the plan of the output; it is asked for where it is needed.
        references: whether a baseline or a background is given.
    """
    if not isinstance(mode, str) or mode != AUTO:
        return mode, ()
    picked, why = _choice(make_plan(), output, references)
    return picked, (Note(f"mode auto picked {picked}: {why}"),)


def _choice(plan: Plan, output: str, references: bool) -> tuple[str, str]:
    if without := sorted(plan.slopeless(output)):
        return "default", f"no signed mode explains {', '.join(without)}"
    if references:
        return "deeplift", "it compares with what is given to compare with"
    families = set(_families(plan, output))
    if "attention" in families:
        return "attnlrp", "the network has attention"
    if "convolution" in families:
        return "cnn", "the network has convolutions"
    return "lrp", "the network has neither attention nor convolutions, and no background is given"


def _families(plan: Plan, output: str) -> Iterator[str | None]:
    for node in plan.graph.ancestors(output):
        if plan.carriers.intersection(node.inputs):
            yield family_of(node, plan.carriers)
