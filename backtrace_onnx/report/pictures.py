"""Pictures of an explanation: the inputs' relevance, and where relevance went."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.images import open_image
from backtrace_onnx.report import (
    array_panel,
    bar_panel,
    flow_picture,
    picture_panel,
    series_panel,
    spectrogram_panel,
    text_panel,
)
from backtrace_onnx.report.answers import (
    Answer,
    explained_answer,
    percent,
    predicted_answer,
    rival_answer,
)
from backtrace_onnx.report.bar_panel import GROUPS
from backtrace_onnx.report.explained_sample import NAMED, ExplainedSample
from backtrace_onnx.report.headlines import answered
from backtrace_onnx.report.input_kinds import Kind, is_picture, kind_of, pixels
from backtrace_onnx.report.json_report import balance
from backtrace_onnx.report.picture_frame import find_placement
from backtrace_onnx.report.picture_style import ALARM, FAINT, fade, pale, save, sheet, shortened
from backtrace_onnx.report.shaded_text import page
from backtrace_onnx.results.group_members import Members

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from backtrace_onnx.explanation import Explanation
    from backtrace_onnx.inputs.sidecar import Sidecar


def plot(
    explanation: Explanation,
    path: Path,
    *,
    sample: int = 0,
    sidecar: Sidecar | None = None,
    picture: Path | None = None,
    groups: Members | None = None,
) -> None:
    """Write a picture (.png, .svg or .pdf) of the inputs' relevance: heatmap, bars or strips.

    Texts also as a page (.html).

    Raises RequestError for a sample that is not there or a file that cannot be written.
    """
    known = sidecar.groups if groups is None and sidecar else groups
    subject = ExplainedSample(explanation, sample, sidecar=sidecar, groups=known or {})
    if picture is not None:
        subject = replace(subject, originals=originals_of(subject, picture))
    if not 0 <= sample < subject.samples:
        raise RequestError(f"sample {sample} of an explanation of {subject.samples}")
    if path.suffix.lower() == ".html":
        _write_page(subject, path)
    else:
        plot_relevance(subject, path)


def originals_of(subject: ExplainedSample, picture: Path) -> dict[str, Image.Image]:
    """The picture that the only input which the sidecar makes of one was made of."""
    names = [name for name in subject.explanation.inputs if subject.image(name)]
    if len(names) != 1:
        raise RequestError(
            f"{picture}: an original goes with one input that is a picture by its sidecar, "
            f"not {len(names)}"
        )
    return {names[0]: open_image(picture)}


def _write_page(subject: ExplainedSample, path: Path) -> None:
    if not subject.read_texts:
        raise RequestError(f"{path}: no input is a text, by its sidecar; pictures are .png, ...")
    try:
        path.write_text(page([subject]), "utf-8")
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror})") from None


def plot_relevance(subject: ExplainedSample, path: Path) -> None:
    """Write the picture of one sample's relevance, all inputs in one."""
    save(path, lambda: _relevance(subject))


def plot_layers(subject: ExplainedSample, path: Path) -> None:
    """Write the picture of where relevance went, node by node."""
    save(path, lambda: flow_picture.draw(subject))


def _relevance(subject: ExplainedSample) -> Figure:
    names = _panels(subject)
    sizes = [_size(subject, name) for name in names]
    width = max(size[0] for size in sizes)
    warned = wrap("; ".join(subject.warnings), int(11.5 * width))
    heights = [*([0.22 * len(warned) + 0.2] if warned else ()), *(size[1] for size in sizes)]
    title = wrap(question_of(subject), int(7.4 * width))
    figure = sheet(width, sum(heights) + 0.55 + 0.3 * max(1, len(title)))
    figure.suptitle("\n".join(title), x=0.01, ha="left", fontsize=15, fontweight="bold")
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    with pale() if warned else nullcontext():
        for part, name in zip(parts[-len(names) :], names, strict=True):
            if len(names) > 1:
                part.suptitle(_headed(subject, name), x=0.01, ha="left", fontsize=11)
            _PANELS[_kind(subject, name)].draw(part, subject, name)
    if warned:
        fade(figure)
        parts[0].set_facecolor(ALARM)
        place: Any = {"va": "center", "ha": "left", "fontsize": 10.5, "fontweight": "bold"}
        parts[0].text(0.01, 0.5, "\n".join(warned), **place)
    figure.supxlabel(_went(subject, names), x=0.01, ha="left", fontsize=9, color=FAINT)
    return figure


def _headed(subject: ExplainedSample, name: str) -> str:
    """What stands above one of several panels."""
    if name == GROUPS:
        return "groups"
    return "columns" if subject.is_column(name) else name


def _panels(subject: ExplainedSample) -> list[str]:
    """What is drawn: the inputs, or the groups first, with what is drawn as bars among them."""
    names = drawn_inputs(subject)
    if not subject.groups:
        return names
    return [GROUPS, *(name for name in names if _kind(subject, name) != "bars")]


def drawn_inputs(subject: ExplainedSample) -> list[str]:
    """Inputs with a picture: all that hold something and do not only go with a text.

    The first column of a table stands for all of them.
    """
    names = [name for name in subject.explanation.inputs if name not in subject.companions]
    columns = [name for name in names if subject.is_column(name)]
    names = [name for name in names if name not in columns[1:]]
    return [name for name in names if subject.explanation.inputs[name].size] or names[:1]


def _kind(subject: ExplainedSample, name: str) -> Kind:
    return "bars" if name == GROUPS else kind_of(subject, name)


def _size(subject: ExplainedSample, name: str) -> tuple[float, float]:
    """Inches that a panel takes: width and height."""
    kind = _kind(subject, name)
    if kind == "picture":
        rows, columns = picture_panel.shown_frame(subject, name).picture.shape[:2]
        side = 3.4 if picture_panel.panels(subject) > 2 else 4.2
        return picture_panel.panels(subject) * (side + 0.1), min(side * rows / columns, 12.0) + 0.65
    if kind == "array":
        return 9.6, 4.2
    width = 9.6 if kind in ("series", "spectrogram") else 9.0
    return width, _PANELS[kind].height(subject, name)


def question_of(subject: ExplainedSample) -> str:
    """What a picture answers: why this, or why not something else; else the answer itself."""
    mask, target, prediction = subject.mask, explained_answer(subject), predicted_answer(subject)
    if mask is not None:
        names = [name for name, _ in subject.masked()[:3]]
        classes = f": {', '.join(map(shortened, names))}" if names else ""
        return f"Why these {int(mask.sum())} pixels of {mask.size}{classes}?"
    if other := rival_answer(subject):
        question = f"Why {_called(target)} rather than {_called(other)}?"
        return f"{question}  Predicted: {shortened(str(prediction), 36)}"
    if target is None or prediction is None or subject.task not in NAMED:
        return shortened(answered(subject), 70)
    question = f"Why {_called(target)}?"
    if target.index == prediction.index:
        return (
            question if target.probability is None else f"{question}  {percent(target.probability)}"
        )
    return f"{question}  Predicted: {shortened(str(prediction), 36)}"


def _called(answer: Answer | None) -> str:
    """The name of an entry in quotes; tokens bring their own."""
    name = shortened(answer.name if answer else "", 44)
    return name if name[:1] in "'\"" else f"“{name}”"


def _went(subject: ExplainedSample, names: list[str]) -> str:
    """Subtitle: mode, and the parts of the start that reached the inputs, if it is divided up."""
    conserved = subject.explanation.conserved
    channels = balance(subject) if conserved != "nothing" else {}
    parts = []
    for channel, amounts in channels.items():
        if amounts["start"]:
            word = {"positive": "for", "negative": "against"}[channel]
            of = f" ({word})" if len(channels) > 1 else ""
            parts.append(f"{percent(amounts['inputs'] / amounts['start'])}{of}")
    whole = "relevance" if conserved == "score" else "the difference to the baseline"
    reached = f" · {', '.join(parts)} of {whole} reached the inputs" if parts else ""
    large = any(
        n != GROUPS
        and is_picture(subject, n)
        and min(picture_panel.shown_picture(subject, n).shape[:2]) >= picture_panel.SMOOTHED_FROM
        for n in names
    )
    smooth = " · smoothed for display" if large else ""
    return f"mode {subject.explanation.mode}{reached}{_padded(subject, names)}{smooth}"


def _padded(subject: ExplainedSample, names: list[str]) -> str:
    """How much of |relevance| lies on the padding around pictures, which is not drawn."""
    whole = outside = 0.0
    for name in names:
        placement = find_placement(subject, name)
        if placement is None or not placement.padded():
            continue
        size = np.abs(pixels(subject, name, subject.relevance(name)))
        left, top, right, bottom = placement.inside
        whole += float(size.sum())
        outside += float(size.sum() - size[top:bottom, left:right].sum())
    return f" · {percent(outside / whole)} of |relevance| on the padding" if whole else ""


_PANELS: dict[Kind, Any] = {
    "text": text_panel,
    "series": series_panel,
    "spectrogram": spectrogram_panel,
    "picture": picture_panel,
    "bars": bar_panel,
    "array": array_panel,
}
