"""What is known of a graph before it runs.

A `Model` enters; a frozen `Graph` with types, sample axes and traits of its tensors leaves.
It never runs a sample and never knows a rule.
"""
