"""Two readers of the same rules: eager computes, emit writes ONNX nodes."""
