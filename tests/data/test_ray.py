"""Batches explained by Ray Data on two local workers, one of them killed on its way."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backtrace_onnx import ExplainBatches

ray = pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parents[2]
ADULT = ROOT / "models" / "adult_mlp.onnx"


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_lost_nor_doubled_where_a_worker_is_killed(tmp_path: Path) -> None:
    import ray.data

    rows = pd.concat([pd.read_csv(ROOT / "models" / "samples" / "adult.csv")] * 8)
    rows = rows.assign(n=range(len(rows)))
    explain = ExplainBatches(ADULT, labels="loan", ids="n", mode="lrp")
    wanted, mark = explain(rows).to_pandas(), tmp_path / "killed"

    def dying(batch: Any) -> Any:
        made = explain(batch)
        if 20 in made["id/n"].to_pylist() and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": paths}},
    )
    try:
        given = ray.data.from_pandas(rows).repartition(4)
        made = given.map_batches(dying, batch_format="pyarrow", batch_size=4).to_pandas()
    finally:
        ray.shutdown()
    made = made.sort_values("id/n")
    assert mark.exists()
    assert list(made.columns) == list(wanted.columns)
    for name in wanted.columns.drop("notes"):
        assert made[name].tolist() == wanted[name].tolist()
