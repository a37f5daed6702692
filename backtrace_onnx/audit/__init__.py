"""Whether a model's reasons are sound and what they were: a model, rows of data and settings enter.

A report of checks leaves, with a baseline to compare the next model with.
It never knows how relevance is computed, nor stops anything itself: exit codes are the commands'.
"""
