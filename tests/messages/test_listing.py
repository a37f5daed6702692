"""Lists in sentences."""

from __future__ import annotations

from backtrace_onnx.messages.listing import listed


def test_up_to_three_are_named_and_the_rest_counted() -> None:
    assert listed([]) == "" and listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"], between="; ") == "a; b; c and 2 more"
