"""What is one operator is read as one.

A `Model` and its `Graph` enter; the same model prepared and the graph that rules read leave.
A pass never knows relevance, and changes only what the rules see.
"""
