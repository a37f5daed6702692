"""SHAP values of boosted trees: this project beside shap, LightGBM's own and woodelf, in one run.

To be run in a virtual environment with this project and

    pip install lightgbm onnxmltools skl2onnx shap woodelf_explainer

    python scripts/bench/trees.py [rows] [rounds]

A LightGBM model of 200 trees with 31 leaves and 30 features, 10,000 rows. Ours explains the
exported file, the forward run by onnxruntime included; visits are those of the training.
Rounds are interleaved; the least wall and processor times are printed, and how far the values are
from LightGBM's (against a background: from woodelf's). What takes over ten seconds is run once.
shap's own values against a background of 100 rows take over ten minutes and are left out.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

TREES, LEAVES, FEATURES, TRAINED, BACKGROUND = 200, 31, 30, 20_000, 100
SLOW = 10.0
Times = tuple[float, float]


def train() -> tuple[Any, Any]:
    """A regressor, and rows to train and explain."""
    import lightgbm

    rng = np.random.default_rng(0)
    x = rng.standard_normal((TRAINED + 10_000, FEATURES)).astype(np.float32).astype(np.float64)
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + np.abs(x[:, 3]) + x[:, 4:10].sum(1)
    y += 0.5 * rng.standard_normal(len(x))
    model = lightgbm.LGBMRegressor(n_estimators=TREES, num_leaves=LEAVES, verbose=-1)
    return model.fit(x[:TRAINED], y[:TRAINED]), x


def explainer(model: Any, x: Any) -> Any:
    """Ours, of the exported file with the visits of the training."""
    import onnxmltools
    from skl2onnx.common.data_types import FloatTensorType

    import backtrace_onnx as bt

    types = [("x", FloatTensorType([None, FEATURES]))]
    proto = onnxmltools.convert_lightgbm(model.booster_, initial_types=types, zipmap=False)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trees.onnx"
        onnxmltools.save_model(proto, path)
        counted = bt.count_visits(path, {"x": x[:TRAINED].astype(np.float32)})
    return bt.Explainer(counted)


def contenders(rows: int) -> dict[str, Callable[[], Any]]:
    """What is measured: SHAP values [rows, features], by visits and against a background."""
    import pandas
    import shap
    import woodelf

    model, x = train()
    ours, asked = explainer(model, x), x[TRAINED : TRAINED + rows]
    single, background = asked.astype(np.float32), x[:BACKGROUND]
    table = pandas.DataFrame(asked, columns=model.feature_name_)
    some = pandas.DataFrame(background, columns=model.feature_name_)
    by_visits = shap.TreeExplainer(model)
    wood, wood_by_rows = woodelf.WoodelfExplainer(model), woodelf.WoodelfExplainer(model, some)

    def own(**how: Any) -> Any:
        return ours.explain(single, mode="shap", task="regression", **how).relevance["x"]

    return {
        "backtrace-onnx": own,
        "woodelf": lambda: np.asarray(wood.shap_values(table, verbose=False)),
        "LightGBM": lambda: model.booster_.predict(asked, pred_contrib=True)[:, :-1],
        "shap": lambda: by_visits.shap_values(asked, check_additivity=False),
        "backtrace-onnx, background": lambda: own(background=background.astype(np.float32)),
        "woodelf, background": lambda: np.asarray(wood_by_rows.shap_values(table, verbose=False)),
    }


def measure(every: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Interleaved rounds; prints a row for each."""
    best: dict[str, Times] = {}
    values: dict[str, Any] = {}
    every["backtrace-onnx"]()  # kernels are compiled
    every["backtrace-onnx, background"]()
    for _ in range(rounds):
        for name, run in every.items():
            if best.get(name, (0.0, 0.0))[0] > SLOW:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            values[name] = run()
            taken = time.perf_counter() - wall, time.process_time() - cpu
            least = best.get(name, taken)
            best[name] = min(least[0], taken[0]), min(least[1], taken[1])
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rounds} rounds")
    print("| | wall | processor time | largest difference |\n|---|---|---|---|")
    for name, (wall, cpu) in best.items():
        like = values["LightGBM" if "," not in name else "woodelf, background"]
        apart = np.abs(values[name] - like).max()
        print(f"| {name} | {wall:.2f} s | {cpu:.2f} s | {apart:.0e} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    measure(contenders(count), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
