"""What is explained: a `Question` and what the model answered enter.

The entry, its axes and the relevance that it starts with leave.
It never knows how relevance travels on.
"""
