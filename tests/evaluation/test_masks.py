"""Where relevance lies, as masks of every kind tell it: against the metrics called by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from backtrace_onnx import Evaluation, Explainer, InputError, RequestError, evaluate, metrics
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.sidecar import Sidecar
from tests.column_models import JOBS, contributions, people
from tests.graphs import FLOAT, model, node, normal

BOTH = ("mass-inside", "rank-inside")
ASKED: dict[str, Any] = {"modes": ("gradient_x_input",), "metrics": BOTH, "sets": 4, "steps": 2}
SIDECAR = {
    "inputs": {
        "x": {"kind": "image", "height": 10, "width": 10, "color": "rgb", "layout": "NCHW"}
        | {"resize": "crop", "resize_to": 12, "scale": 1 / 255}
    }
}


def linear() -> onnx.ModelProto:
    return model(
        [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "w"], ["y"], "fc")],
        {"x": (FLOAT, ["N", 3, 10, 10])},
        {"y": (FLOAT, ["N", 2])},
        {"w": normal(300, 2, seed=2)},
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    onnx.save(linear(), tmp_path / "p.onnx")
    (tmp_path / "sidecar.json").write_text(json.dumps(SIDECAR))
    return tmp_path


def picture(path: Path, pixels: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def photos(here: Path) -> None:
    """Two photos of 20 x 40 pixels; the mask is the left half of one, the right of the other."""
    rng = np.random.default_rng(0)
    for name, half in (("a", np.s_[:, :20]), ("b", np.s_[:, 20:])):
        picture(here / "photos" / f"{name}.png", rng.integers(0, 256, (20, 40, 3)))
        inside = np.zeros((20, 40))
        inside[half] = 3  # a label, not white
        picture(here / "photos" / f"{name}_mask.png", inside)


def run(here: Path, data: str, **options: Any) -> Evaluation:
    return evaluate(here / "p.onnx", here / data, **(ASKED | options))


def mean(made: Evaluation, metric: str) -> float:
    found = made.modes[0].estimates[metric]
    assert found is not None
    return found.mean


def halves(rows: int, left: bool) -> Any:
    inside = np.zeros((rows, 10, 10), bool)
    inside[..., :5] = left
    inside[..., 5:] = not left
    return inside


def wanted(x: Any, inside: Any) -> list[float]:
    """Over pixels, whose channels are summed."""
    r = Explainer(linear()).explain(x, mode="gradient_x_input").relevance["x"].sum(1)
    return [float(f(r, inside).mean()) for f in (metrics.mass_inside, metrics.rank_inside)]


def test_a_mask_beside_a_photo_is_cropped_as_it_is_and_no_row(here: Path) -> None:
    photos(here)
    made = run(here, "photos", sidecar=here / "sidecar.json")
    assert (
        made.rows == 2
        and "2 picture(s) are masks of others, and no rows: a_mask.png, b_mask.png" in (made.notes)
    )
    entry = Sidecar.load(here / "sidecar.json").inputs["x"]
    assert isinstance(entry, ImageInput)
    photo = [entry.encode(Image.open(here / "photos" / f"{name}.png")) for name in "ab"]
    # The crop shows the middle of the photo: half of it is inside.
    inside = np.concatenate([halves(1, True), halves(1, False)])
    told = wanted(np.concatenate(photo), inside)
    assert [mean(made, name) for name in BOTH] == pytest.approx(told)


def test_masks_in_a_folder_and_of_the_model_s_size(here: Path) -> None:
    photos(here)
    plain = run(here, "photos", sidecar=here / "sidecar.json")
    for name, left in (("a", True), ("b", False)):
        (here / "photos" / f"{name}_mask.png").unlink()
        picture(here / "masks" / f"{name}.png", 255 * halves(1, left)[0])
    found = run(here, "photos", sidecar=here / "sidecar.json", masks=here / "masks")
    assert found.modes[0].estimates == plain.modes[0].estimates
    (here / "masks" / "b.png").unlink()
    some = run(here, "photos", sidecar=here / "sidecar.json", masks=here / "masks")
    ((text, count),) = some.modes[0].errors["mass-inside"].items()
    assert count == 1 and "there is no mask of b.png" in text and "b_mask.png" in text


@pytest.mark.parametrize("shape", ["places", "sample", "rows"])
def test_arrays_are_masks(here: Path, shape: str) -> None:
    x = normal(4, 3, 10, 10, seed=4)
    np.save(here / "x.npy", x)
    inside = halves(1, True)
    if shape == "rows":
        inside = np.concatenate([halves(3, True), halves(1, False)])
    given = np.repeat(inside, 3, 0) if shape == "sample" else inside
    np.save(here / "m.npy", given[0] if shape == "places" else given)
    made = run(here, "x.npy", masks=here / "m.npy")
    assert [mean(made, name) for name in BOTH] == pytest.approx(wanted(x, inside))
    drawn = run(here, "x.npy", masks=here / "m.npy", rows=1, seed=1)
    assert "one row has no interval, and ranks of it say nothing" in drawn.notes
    if shape == "rows":  # the row that is drawn has its own mask
        assert mean(drawn, BOTH[0]) in [
            pytest.approx(wanted(x[k : k + 1], inside[k : k + 1])[0]) for k in range(4)
        ]


def test_names_of_columns_are_a_mask(here: Path) -> None:
    onnx.save(people(), here / "p.onnx")
    rows = [["age", "hours", "job"]] + [[str(9 + k), str(k - 4), JOBS[k % 3]] for k in range(6)]
    with (here / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (here / "m.json").write_text('["ag*", "job"]')
    asked: Any = {"task": "regression", "target": 0, "masks": here / "m.json", "modes": ("lrp",)}
    jobs = [JOBS[k % 3] for k in range(6)]
    r = contributions(np.arange(6) + 9.0, np.arange(6) - 4.0, jobs, 0)
    made = run(here, "x.csv", **asked)
    inside = np.array([[True, False, True]])
    assert mean(made, "mass-inside") == pytest.approx(np.nanmean(metrics.mass_inside(r, inside)))
    (here / "m.json").write_text('["agee"]')
    with pytest.raises(InputError, match=r"no column is called 'agee'; did you mean 'age'"):
        run(here, "x.csv", **asked)


def test_masks_that_do_not_fit(here: Path) -> None:
    photos(here)
    picture(here / "small.png", np.ones((7, 9)))
    picture(here / "black.png", np.zeros((10, 10)))
    asked: Any = {"sidecar": here / "sidecar.json"}
    with pytest.raises(InputError, match=r"small.png: the mask has 9 x 7 .* 40 x 20; .* 10 x 10"):
        run(here, "photos", masks=here / "small.png", **asked)
    with pytest.raises(RequestError, match=r"black.png: nothing lies inside the mask"):
        run(here, "photos", masks=here / "black.png", **asked)
    with pytest.raises(InputError, match="no such file or folder"):
        run(here, "photos", masks=here / "nowhere", **asked)
    with pytest.raises(RequestError, match="masks are for the metrics mass-inside and rank"):
        run(here, "photos", masks=here / "small.png", metrics=("abpc",), **asked)
    picture(here / "photos" / "more" / "a.png", np.zeros((20, 40, 3)))
    with pytest.raises(InputError, match="2 are called 'a'"):
        run(here, "photos", masks=here / "photos", **asked)
    np.save(here / "x.npy", normal(3, 3, 10, 10))
    np.save(here / "m.npy", np.ones((3, 10, 10)))
    with pytest.raises(InputError, match=r"may be of one sample or of all rows; .*\(3, 3, 10, 10"):
        run(here, "x.npy", masks=here / "m.npy")
    np.save(here / "m.npy", np.ones((4, 10, 10)))
    with pytest.raises(InputError, match=r"shape \(4, 10, 10\) does not fit 'x'; it is \(3, 10"):
        run(here, "x.npy", masks=here / "m.npy")
    np.savez(here / "m.npz", z=np.ones((4, 10, 10)))
    with pytest.raises(InputError, match=r"m.npz: holds no array called 'x'"):
        run(here, "x.npy", masks=here / "m.npz")
    (here / "m.json").write_text('["age"]')
    with pytest.raises(InputError, match="entries of 'x' have no names"):
        run(here, "x.npy", masks=here / "m.json")
    with pytest.raises(RequestError, match="there is no mask: rows are no pictures"):
        run(here, "x.npy")


def test_a_folder_is_of_its_masks(here: Path) -> None:
    photos(here)
    asked: Any = {"sidecar": here / "sidecar.json", "out": here / "out", "masks": None}
    run(here, "photos", **asked)
    assert run(here, "photos", **asked).kept == 2
    picture(here / "photos" / "a_mask.png", np.eye(20, 40) > 0)
    with pytest.raises(RequestError, match="another evaluation: masks"):
        run(here, "photos", **asked)
