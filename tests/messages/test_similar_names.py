"""Names that somebody may have meant."""

from __future__ import annotations

from backtrace_onnx.messages.similar_names import find_alike


def test_likest_first_in_any_capitals() -> None:
    known = ["age", "Age", "wages", "hours", "HOURLY"]
    assert find_alike("ages", known) == ["wages", "age", "Age"]
    assert find_alike("AGE", known) == ["age", "Age"]
    assert find_alike("HUORS", known)[0] == "hours"
    assert find_alike("zzz", known) == [] == find_alike("", [])
