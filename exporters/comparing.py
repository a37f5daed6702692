"""Whether an exported file computes what the framework computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.exported import Check
from backtrace_onnx.model.sessions import first_line

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Run = Callable[[Feeds], Sequence[Array]]
Axes = Mapping[str, Mapping[int, str]]
"""Open axes: input -> axis -> symbol."""

TOLERANCE = 1e-4  # of the output's largest value, for float32 and float64
HALF_TOLERANCE = 1e-2
_SMALL = 1e-3  # outputs smaller than this are compared as if they reached it
_NUDGE = 1e-6  # relative; a few units in the last place of float32
_NUDGES = 16
_NARROW = (
    ". On a CPU it computes little in bfloat16: export the model in float32 (module.float()), or "
    "without verification"
)


@dataclass(frozen=True)
class ExpectedAnswers:
    """What an exported file is compared with.

    Attributes:
        run: the framework, from arrays by input name to the outputs in order.
        example: the example, by input name.
        axes: open axes that may vary; None: those the file has.
        tolerance: allowed difference relative to an output's largest value; None: by dtype.
        jumps: whether the model may jump (trees): a row at which the framework's own answer changes
            with the last places of its inputs may have either answer.
        remedy: what to do where the file is wrong.
        trials: inputs to compare on, from the example and the open axes; None: random ones.
    """

    run: Run
    example: Feeds
    axes: Axes | None = None
    tolerance: float | None = None
    jumps: bool = False
    remedy: str = ""
    trials: Callable[[Feeds, Axes], dict[str, Feeds]] | None = None

    def compare(self, path: Path, trials: Mapping[str, Feeds]) -> tuple[Check, ...]:
        """Run the framework and the file on every trial and compare all outputs.

        Raises ExportError naming the output and the difference, or what does not run.
        """
        session = _session(path)
        names = [o.name for o in session.get_outputs()]
        checks: list[Check] = []
        for words, feeds in trials.items():
            expected = [np.asarray(y) for y in self._expected(feeds, words)]
            found = [np.asarray(z) for z in self._found(session, feeds, words)]
            if len(found) != len(expected):
                raise ExportError(
                    f"the framework returns {len(expected)} arrays, the exported model "
                    f"{len(found)}: {', '.join(names)}"
                )
            if self.jumps:
                expected = self._settled(feeds, expected, found)
            for name, y, z in zip(names, expected, found, strict=True):
                checks.append(self._check(name, words, y, z))
        return tuple(checks)

    def _expected(self, feeds: Feeds, words: str) -> Sequence[Array]:
        try:
            return self.run(feeds)
        except Exception as error:  # whatever the model's own code raises
            raise ExportError(
                f"the model itself does not run on {words} ({_shapes(feeds)}): {first_line(error)}"
            ) from error

    def _found(self, session: ort.InferenceSession, feeds: Feeds, words: str) -> list[Any]:
        wanted = {i.name for i in session.get_inputs()}
        try:
            return list(session.run(None, {k: v for k, v in feeds.items() if k in wanted}))
        except Exception as error:  # onnxruntime raises many types
            raise self._wrong(
                f"the exported model does not run on {words} ({_shapes(feeds)}), where the "
                f"framework does: {first_line(error)}"
            ) from None

    def _check(self, name: str, words: str, y: Array, z: Array) -> Check:
        if y.shape != z.shape:
            raise self._wrong(
                f"output {name!r} on {words}: the framework's shape is {y.shape}, the exported "
                f"model's {z.shape}"
            )
        if not _are_floats(y, z):
            wrong = int(_differs(y, z, 0.0).sum())
            check = Check(name, words, 0.0, 0.0)
            what = f"output {name!r} on {words}: {wrong} of {y.size} entries differ"
        else:
            allowed = self._allowed(z)
            check = _difference(name, words, y, z)
            wrong = int(check.difference > allowed * max(check.scale, _SMALL))
            what = f"{check} (allowed: {allowed:g} of that)"
        if wrong:
            raise self._wrong(f"the exported model computes something else. {what}")
        return check

    def _allowed(self, z: Array) -> float:
        if self.tolerance is not None:
            return self.tolerance
        return HALF_TOLERANCE if z.dtype.itemsize < 4 else TOLERANCE

    def _wrong(self, what: str) -> ExportError:
        return ExportError(f"{what}. Nothing was written. {self.remedy}".rstrip())

    def _settled(self, feeds: Feeds, expected: list[Array], found: list[Array]) -> list[Array]:
        """The framework's answers, at jumps the one of both sides that the file gives."""
        expected = [y.copy() for y in expected]
        rng = np.random.default_rng(0)
        for _ in range(_NUDGES):
            wrong = self._wrong_rows(expected, found)
            if not wrong.any():
                break
            other = self._near(rng, feeds)
            better = wrong & ~self._wrong_rows(other, found)
            for y, instead in zip(expected, other, strict=True):
                y[better] = instead[better]
        return expected

    def _near(self, rng: np.random.Generator, feeds: Feeds) -> list[Array]:
        """The framework's answers close by; integers stay where it takes nothing else."""
        near = {name: _nudged(rng, x) for name, x in feeds.items()}
        try:
            return [np.asarray(y) for y in self.run(near)]
        except Exception:  # an integer may be a category, whatever it raises for another
            whole = {name: x if x.dtype.kind in "iu" else near[name] for name, x in feeds.items()}
            return [np.asarray(y) for y in self.run(whole)]

    def _wrong_rows(self, expected: Sequence[Array], found: Sequence[Array]) -> Array:
        rows = np.zeros(len(expected[0]), bool)
        for y, z in zip(expected, found, strict=True):
            if y.shape == z.shape:
                scale = np.abs(y).max(initial=_SMALL) if _are_floats(y, z) else 0.0
                differs = _differs(y, z, self._allowed(z) * scale)
                rows |= differs.reshape(len(rows), -1).any(axis=1)
        return rows


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types
        remedy = _NARROW if _holds_bfloat16(path) else ""
        raise ExportError(
            f"onnxruntime does not load the exported model: {first_line(error)}. "
            f"Nothing was written{remedy}"
        ) from None


def _holds_bfloat16(path: Path) -> bool:
    initializers = onnx.load(path, load_external_data=False).graph.initializer
    return any(t.data_type == onnx.TensorProto.BFLOAT16 for t in initializers)


def _difference(name: str, words: str, y: Array, z: Array) -> Check:
    wide, other = y.astype(np.float64), z.astype(np.float64)
    finite = np.isfinite(wide) & np.isfinite(other)
    same = finite | (wide == other) | (np.isnan(wide) & np.isnan(other))
    scale = float(np.abs(wide[finite]).max(initial=0.0))
    worst = float(np.abs(wide[finite] - other[finite]).max(initial=0.0))
    return Check(name, words, worst if same.all() else float("inf"), scale)


def _are_floats(y: Array, z: Array) -> bool:
    return y.dtype.kind in "fV" and z.dtype.kind in "fV"


def _differs(y: Array, z: Array, allowed: float) -> Array:
    if _are_floats(y, z):
        return np.asarray(~(np.abs(y.astype(np.float64) - z.astype(np.float64)) <= allowed))
    if y.dtype.kind in "biuf" and z.dtype.kind in "biuf":
        return np.asarray(y != z)
    return np.asarray(y.astype(str) != z.astype(str))


def _nudged(rng: np.random.Generator, x: Array) -> Array:
    """Numbers moved by a few units in the last place of a float32."""
    if x.dtype.kind not in "fiu":
        return x
    kind = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    return np.asarray(x * (1 + _NUDGE * rng.uniform(-1, 1, x.shape)), kind)


def _shapes(feeds: Feeds) -> str:
    return ", ".join(f"{name} {list(x.shape)}" for name, x in feeds.items())
