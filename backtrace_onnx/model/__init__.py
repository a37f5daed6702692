"""From a file to a model that runs: a path, bytes or a `ModelProto` enters.

A checked `Model` beside its weights leaves, and onnxruntime sessions that run it.
It never knows what relevance is.
"""
