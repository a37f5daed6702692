"""Decision trees, in whichever of ONNX's three operators: a node enters.

Arrays leave: the trees, what every split on the way to a leaf changes, and the games of the leaves.
It never knows how relevance is handed on.
"""
