"""The explanation as an ONNX model: a `Model` and options enter.

One model that returns prediction and relevance leaves, as a proto or as a file.
It never computes with the numbers of a sample.
"""
