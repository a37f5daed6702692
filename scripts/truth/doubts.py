"""How often the doubts of explanations are right: `python scripts/truth/doubts.py [MODEL DATA]...`.

Of every row each mode explains the answer, and `check_explanation` says what it doubts. Whether
that is right is asked of the model alone, by perturbation curves.

- The runner-up has nearly the same map: right where the parts that decide between the two classes
  are better ordered by a map made for that (lrp of the answer less lrp of the runner-up): a larger
  area between the curves of the difference of the two scores.
- Another method ranks otherwise: right where the method matters: the areas of the two differ by
  over a quarter of the larger one.

The table has, of explanations with and without the note, how many that holds for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from backtrace_onnx import check_explanation
from backtrace_onnx.evaluation.measuring import Measurer
from backtrace_onnx.evaluation.reading import MeasuredRow, Reading
from backtrace_onnx.evaluation.settings import EvaluationSettings
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.metrics import abpc

ROOT = Path(__file__).resolve().parents[2] / "models"
BUNDLED = (
    ("mnist_cnn.onnx", "samples/digit_*.png"),
    ("adult_mlp.onnx", "samples/adult.csv"),
    ("orientation.onnx", "samples/page_90.png"),
    ("fetched/efficientnet_lite0.onnx", "fetched/imagenet"),
)
Case = tuple[str, bool, bool]
MODES = ("default", "lrp", "cnn", "gradient_x_input")


def difference_area(row: MeasuredRow, relevance: np.ndarray) -> float:
    """ABPC of the answer's score less the runner-up's."""
    own, rival = int(np.ravel(row.answer.target)[0]), int(row.runner_up[0])

    def difference(x: np.ndarray) -> np.ndarray:
        y = row.outputs(x).reshape(len(x), -1).astype(np.float64)
        return (y[:, own] - y[:, rival])[:, None]

    return float(abpc(difference, row.x, relevance, 0, steps=row.effort.steps, **row.how)[0])


def doubts_of(measured: MeasuredRow, made: dict[str, Explanation]) -> list[Case]:
    """(doubt, whether it was told, whether it is right) of every mode on one row."""
    subject, view = measured.subject, measured.view
    maps = {mode: view.packed(one.relevance)[:1] for mode, one in made.items()}
    readings = {mode: Reading(measured, r, None) for mode, r in maps.items()}
    areas = {
        mode: float((r.curve("lerf").area - r.curve("morf").area)[0])
        for mode, r in readings.items()
    }
    rival = subject.relevance(view, view.x, "lrp", measured.answer, measured.runner_up)
    best = difference_area(measured, maps["lrp"] - rival)
    found = []
    for mode, explanation in made.items():
        checked = check_explanation(subject.explainer, explanation, sidecar=subject.sidecar)
        told = " ".join(note.text for note in checked.notes[len(explanation.notes) :])
        other = "lrp" if mode == "gradient_x_input" else "gradient_x_input"
        worse = difference_area(measured, maps[mode]) < best
        found.append(("same map", "the runner-up, has nearly" in told, worse))
        gap, most = abs(areas[mode] - areas[other]), max(abs(areas[mode]), abs(areas[other]))
        found.append(("other order", "ranks the inputs otherwise" in told, gap > most / 4))
    return found


def measure(model: Path, data: str, rows: int) -> list[Case]:
    """The doubts of all modes on rows of data."""
    how = {"rows": rows, "skip_bad": False, "seed": 0, "options": {"steps": 6}}
    measurer = Measurer(EvaluationSettings.read(model, data, MODES, (), **how))
    subject, found = measurer.subject, []
    for number in range(len(measurer.rows)):
        row = measurer.rows.row(number)
        assert row is not None
        made = {mode: subject.explain_row(row.feeds, mode) for mode in MODES}
        view = subject.view(row.feeds)
        parts, effort = measurer.parts(view), measurer.settings.effort
        found += doubts_of(MeasuredRow(subject, view, parts, made["lrp"], effort), made)
    return found


def main() -> None:
    """Print a line for each model and doubt."""
    given = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    cases = given or [(str(ROOT / model), str(ROOT / data)) for model, data in BUNDLED]
    print("| model | doubt | told | right where told | right where not told |")
    print("|---|---|---|---|---|")
    for model, data in cases:
        name = Path(model).stem
        if not Path(model).is_file():
            print(f"| {name} | not there: scripts/models makes it | | | |")
            continue
        found = measure(Path(model), data, 20)
        for doubt in ("same map", "other order"):
            own = [(told, right) for kind, told, right in found if kind == doubt]
            sides = [[right for told, right in own if told is side] for side in (True, False)]
            yes, no = [f"{sum(s)} of {len(s)}" if s else "-" for s in sides]
            print(
                f"| {name} | {doubt} | {len(sides[0])} of {len(own)} | {yes} | {no} |", flush=True
            )


if __name__ == "__main__":
    main()
