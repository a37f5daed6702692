"""What reasons are over many rows: Arrow tables of results, a row each, enter.

Means with their intervals, ranks and ties, words, mean maps and pictures of them leave.
It never holds more than some rows, and never knows how relevance is computed.
"""

from backtrace_onnx.summary.global_explanation import GlobalExplanation, global_explanation

__all__ = ["GlobalExplanation", "global_explanation"]
