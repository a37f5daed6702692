"""Loops that Numba compiles: arrays and the scalar function of a policy enter.

The same arrays leave, filled.
It never knows a graph, a node or the name of a tensor.
"""
