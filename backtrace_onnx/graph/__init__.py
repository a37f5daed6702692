"""What is known before anything runs: the nodes of a `Model` enter.

A frozen `Graph` leaves: nodes, constants, types, sample axes, and traits of the tensors.
It never runs a sample and never knows a rule.
"""
