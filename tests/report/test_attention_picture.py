"""Pictures of attention: which panels there are, and how tokens are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, RequestError
from backtrace_onnx.cli import main
from backtrace_onnx.report.attention_picture import find_panels, plot_attention, token_names
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.results.attention_maps import AttentionMap, AttentionMaps
from tests.graphs import FLOAT, model, node, normal


def _layers() -> AttentionMaps:
    return AttentionMaps([AttentionMap(f"p{i}", normal(2, 3, 4, 4, seed=i)) for i in range(2)])


def test_a_panel_for_each_layer_and_their_mean() -> None:
    maps = _layers()
    panels = dict(find_panels(maps, "mean", 1))
    assert list(panels) == ["all layers", "layer 0", "layer 1"]
    np.testing.assert_allclose(panels["layer 1"], maps[1].relevance[1].mean(0), rtol=1e-6)
    both = sum(one.relevance[1].mean(0) for one in maps)
    np.testing.assert_allclose(panels["all layers"], both, rtol=1e-5)


def test_a_panel_for_each_head() -> None:
    panels = dict(find_panels(_layers(), "1", 0))
    assert list(panels) == ["head 0", "head 1", "head 2"]
    np.testing.assert_array_equal(panels["head 2"], _layers()[1].relevance[0, 2])
    with pytest.raises(RequestError, match="mean or the number of a layer, 0 to 1; not '2'"):
        find_panels(_layers(), "2", 0)


def test_layers_of_other_tokens_have_no_sum() -> None:
    maps = AttentionMaps(
        [AttentionMap("a", normal(1, 2, 4, 4)), AttentionMap("b", normal(1, 2, 4, 6))]
    )
    assert [name for name, _ in find_panels(maps, "mean", 0)] == ["layer 0", "layer 1"]


def _transformer() -> Any:
    """One head over x [n, t, 4]."""
    nodes = [
        node("MatMul", ["x", "w"], ["q"], "q"),
        node("Transpose", ["x"], ["k"], "k", perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["s"], "s"),
        node("Softmax", ["s"], ["p"], "p", axis=-1),
        node("MatMul", ["p", "x"], ["c"], "c"),
        node("ReduceMean", ["c", "one"], ["y"], "y", keepdims=0),
    ]
    x, y = (FLOAT, ["n", "t", 4]), (FLOAT, ["n", 4])
    return model(nodes, {"x": x}, {"y": y}, {"w": normal(4, 4), "one": np.array([1])})


def test_pictures_are_written_with_numbers_where_there_is_no_text(tmp_path: Path) -> None:
    made = Explainer(_transformer()).explain(normal(2, 5, 4), mode="attnlrp", keep="attention")
    subject = ExplainedSample(made, sample=1)
    assert token_names(subject, 5) == list("01234")
    for which in ("mean", "0"):
        plot_attention(subject, which, tmp_path / f"{which}.png")
        assert (tmp_path / f"{which}.png").stat().st_size > 5000


def test_the_command_line_draws_and_says_where_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(_transformer(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", normal(1, 5, 4))
    asked = ["explain", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--mode", "attnlrp"]
    assert main([*asked, "--attention", "mean", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "attention.png").exists()
    capsys.readouterr()
    assert main([*asked, "--attention", "mean"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--attention draws a picture; name its folder: --out FOLDER" in told
