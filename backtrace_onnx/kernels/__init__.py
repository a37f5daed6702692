"""Numba loops, named for what they do. They know arrays, no operators."""
