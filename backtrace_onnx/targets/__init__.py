"""What is explained: a `Request` and what the model answered enter.

The entry, its axes and the relevance that it starts with leave.
It never knows how relevance travels on.
"""
