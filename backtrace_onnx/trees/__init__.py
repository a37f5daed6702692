"""Decision trees as arrays, whichever of ONNX's operators they were written in.

A node enters; trees and what every split changes leave. They never know how relevance is handed on.
"""
