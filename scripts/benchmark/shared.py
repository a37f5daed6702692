"""Parts that all three benchmarks share: where files lie, methods, cells, intervals, time.

A method is a function from inputs and targets to relevance. A cell holds what was measured of one
method on one data set; it is written as soon as it is there, so that a run that was stopped goes
on where it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results"
FETCHED = ROOT / "models" / "fetched"
BOOTSTRAPS = 1000
SEED = 0
THREADS = 1
ENOUGH = 0.2  # seconds of processor time in which what is quick is measured again and again
FAILED = "failed"

Array: TypeAlias = npt.NDArray[Any]
Explain: TypeAlias = Callable[[Array, Array], Array]
"""(x[samples, ...], targets[samples]) -> relevance[samples, ...]."""
Samples: TypeAlias = Sequence[tuple[Array, Array]]
"""Inputs and targets of a few samples, each by itself."""


@dataclass(frozen=True)
class Method:
    """What explains.

    Attributes:
        name: as tables call it.
        family: "ours", "peer" or "floor".
        explain: inputs and targets to relevance.
        fast: the same, compiled into one file where that is possible; None elsewhere.
    """

    name: str
    family: str
    explain: Explain
    fast: Explain | None = None


def interval(values: Array, groups: Array | None = None) -> list[float]:
    """Mean, and the ends of its 95 % interval by bootstrap; NaN is left out.

    Args:
        values: one for each sample.
        groups: samples of one number are drawn together; default: each alone.
    """
    known = ~np.isnan(values)
    values = values[known]
    names = np.arange(len(values)) if groups is None else np.asarray(groups)[known]
    _, groups = np.unique(names, return_inverse=True)
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    draws = np.random.default_rng(SEED).integers(len(sums), size=(BOOTSTRAPS, len(sums)))
    means = sums[draws].sum(1) / sizes[draws].sum(1)
    ends = np.percentile(means, [2.5, 97.5])
    return [round(float(number), 4) for number in (values.mean(), *ends)]


class Cells:
    """Results of one benchmark: a JSON file of data set, method, numbers.

    Args:
        name: of the benchmark; its file is results/NAME.json.
    """

    def __init__(self, name: str) -> None:
        self._path = RESULTS / f"{name}.json"

    @property
    def read(self) -> dict[str, Any]:
        """What the file holds by now: data set, "methods", method, numbers."""
        found = json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        return dict(found)

    def has(self, data: str, method: str) -> bool:
        """Whether that cell was measured; one that failed is tried again."""
        cell = self.read.get(data, {}).get("methods", {}).get(method)
        return cell is not None and FAILED not in cell

    def describe(self, data: str, **about: Any) -> None:
        """Keep what a data set and its model are."""
        with self._alone():
            found = self.read
            found.setdefault(data, {"methods": {}})["about"] = about
            self._write(found)

    def of(self, data: str, method: str) -> dict[str, Any]:
        """The numbers of a cell."""
        return dict(self.read[data]["methods"][method])

    def put(self, data: str, method: Method, numbers: Mapping[str, Any]) -> None:
        """Keep a cell."""
        with self._alone():
            found = self.read
            found[data]["methods"][method.name] = {**numbers, "family": method.family}
            self._write(found)

    def fill(
        self, data: str, method: Method, measure: Callable[[], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Measure and keep a cell that is not there yet; what it raises is kept in its place."""
        if not self.has(data, method.name):
            try:
                numbers = measure()
            except Exception as error:  # of any library
                traceback.print_exc()
                numbers = {FAILED: f"{type(error).__name__}: {error}".partition("\n")[0]}
            self.put(data, method, numbers)
            say(f"{data}: {method.name}: {numbers}")
        return self.of(data, method.name)

    def told(self) -> int:
        """Name the cells that could not be measured; the exit status of a benchmark."""
        lines = [
            f"{data}: {name}: {cell[FAILED]}"
            for data, found in self.read.items()
            for name, cell in found["methods"].items()
            if FAILED in cell
        ]
        for line in lines:
            say(f"not measured: {line}")
        return int(bool(lines))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else changes the file."""
        RESULTS.mkdir(exist_ok=True)
        folder = os.open(RESULTS, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, found: Mapping[str, Any]) -> None:
        part = self._path.with_suffix(f".{os.getpid()}.part")
        part.write_text(_spelled(found), "utf-8")
        part.replace(self._path)


def _spelled(read: Mapping[str, Any]) -> str:
    """JSON with a line for each method."""
    lines = []
    for data, found in read.items():
        methods = [f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in found["methods"].items()]
        about, body = json.dumps(found.get("about", {})), ",\n".join(methods)
        inside = f'  "about": {about},\n  "methods": {{\n{body}\n  }}'
        lines.append(f" {json.dumps(data)}: {{\n{inside}\n }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


@dataclass(frozen=True)
class Cost:
    """Milliseconds for one explanation, one sample at a time: medians."""

    wall: float
    cpu: float


def cost(explain: Explain, x: Array, targets: Array, *, most: float = 20.0, times: int = 9) -> Cost:
    """What one explanation takes, of samples in turn: at least three after the first, if any.

    Args:
        most: seconds after which no further sample is begun.
        times: how many there are, and more of what takes next to nothing.
    """
    explain(x[:1], targets[:1])
    walls, cpus = [], []
    begun = time.perf_counter()
    for at in range(20 * times):
        spent = time.perf_counter() - begun
        if at >= min(times, 3) and (spent > most or (at >= times and sum(cpus) > ENOUGH)):
            break
        i = at % len(x)
        wall, cpu = time.perf_counter(), time.process_time()
        explain(x[i : i + 1], targets[i : i + 1])
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Cost(*(float(f"{1000 * np.median(part):.3g}") for part in (walls, cpus)))


def costs(method: Method, x: Array, targets: Array, **how: Any) -> dict[str, Any]:
    """The time of a method as a cell holds it."""
    usual = cost(method.explain, x, targets, **how)
    made: dict[str, Any] = {"ms": usual.wall, "cpu_ms": usual.cpu}
    if method.fast is not None:
        fast = cost(method.fast, x, targets, **how)
        made |= {"compiled_ms": fast.wall, "compiled_cpu_ms": fast.cpu}
    return made


def twin(method: Method, others: Sequence[Method], samples: Samples) -> str | None:
    """Which of the others gives the same relevance, bit for bit: mode auto does what it picks."""
    own = [method.explain(*sample) for sample in samples]
    for other in others:
        if all(np.array_equal(r, other.explain(*s)) for r, s in zip(own, samples, strict=True)):
            return other.name
    return None


def chained(*families: Iterable[Method]) -> Iterator[Method]:
    """The methods of several families; one that cannot be made ends its family, and is told."""
    for family in families:
        try:
            yield from family
        except ImportError as error:
            traceback.print_exc()
            name = f"what needs {error.name or error}"
            yield Method(name, "peer", _raising(error))


def _raising(error: Exception) -> Explain:
    def explain(x: Array, targets: Array) -> Array:
        raise error

    return explain


def in_parts(explain: Explain, x: Array, targets: Array, size: int) -> Array:
    """Relevance of all samples, `size` of them at a time."""
    parts = (slice(at, at + size) for at in range(0, len(x), size))
    return np.concatenate([np.asarray(explain(x[p], targets[p]), np.float64) for p in parts])


def random_relevance(x: Array, targets: Array) -> Array:
    """A floor: relevance that knows nothing."""
    return np.random.default_rng(SEED).standard_normal(x.shape)


def say(text: str) -> None:
    """Print what was done and when."""
    print(f"{time.process_time():7.0f} s  {text}", flush=True)
