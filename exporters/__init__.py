"""From a framework's model object to an .onnx file; installed as `backtrace_onnx.exporters`."""
