"""If, Loop, Scan, sequences, optionals: a `Model` and what one run decided enter.

A model without them leaves: what really ran, written out.
It never hands relevance on.
"""
