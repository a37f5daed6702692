"""The explanation as an ONNX model.

A `Model` and options enter; one file that returns prediction and relevance leaves.
It never computes with numbers of a sample.
"""
