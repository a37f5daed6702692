"""What a mode is, as data: its name, or a function that somebody wrote, enters.

A `Method` leaves: what travels back, how units share, and which rule holds at which node.
It never hands relevance on, and never knows the numbers of a sample.
"""
