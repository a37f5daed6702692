"""What a network does with relevance, part by part: a model and its data enter.

A number of each kind leaves for every node, layer, module and input, and a picture of the flow.
It never knows how relevance is computed, and never holds more rows than a batch.
"""

from backtrace_onnx.network.network_analysis import NetworkAnalysis, network_analysis

__all__ = ["NetworkAnalysis", "network_analysis"]
