"""Data sets, streamed through an explainer: files, or batches of rows of another library, enter.

Arrow tables of relevance leave, a row each; or a folder of .parquet parts with a manifest.
It never holds more than some batches, and never knows how relevance is computed.
"""

from backtrace_onnx.data.explain_batches import ExplainBatches
from backtrace_onnx.data.explain_dataset import DatasetResults, explain_dataset

__all__ = ["DatasetResults", "ExplainBatches", "explain_dataset"]
