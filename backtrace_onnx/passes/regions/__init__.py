"""One function of one tensor, however it was written: a `Graph` enters.

The graph leaves with every such region as one node.
It never knows an exporter: regions are found by the shape of the graph, not by a list.
"""

# Each reading leaves one operator for the rules, through which relevance passes. What runs stays as
# it is. Tensors inside that have the region's shape stay addressable as aliases; the others have no
# relevance of their own.
