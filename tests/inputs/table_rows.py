"""Rows of a table, by column and as arrays."""

from __future__ import annotations

import numpy as np

AGES, HOURS, JOBS = [30.0, 41.5, 64.0], [40, 20, 38], ["pilot", "cook", "sailor"]
ROWS = {"age": AGES, "hours": HOURS, "job": JOBS}
ARRAYS = {
    "age": np.array(AGES, np.float32)[:, None],
    "hours": np.array(HOURS)[:, None],
    "job": np.array(JOBS, object)[:, None],
}
RECORDS = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
