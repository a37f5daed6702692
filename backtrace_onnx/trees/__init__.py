"""Decision trees, in whichever of ONNX's three operators: a node enters.

Arrays leave: the trees, and what every split on the way to a leaf changes.
It never knows how relevance is handed on.
"""
