"""From a file to a model that runs.

A path, bytes or a ModelProto enters; a checked `Model` with its weights, and sessions that run it,
leave. It never knows what relevance is.
"""
