"""Modes of explanation against metrics: a model and rows of data enter.

A table leaves, with an interval for every number and a rank for every mode.
It never knows how relevance is computed, nor how a metric is.
"""
