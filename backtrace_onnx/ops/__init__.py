"""The words that rules are written in, and both backends understand.

ONNX's operators and a few named passes. They never know who asks, nor how they are carried out.
"""
