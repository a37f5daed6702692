"""What a mode is, as data: a function that somebody wrote enters.

A `Policy` leaves that is known to take and return what policies do.
It never knows a layer or an operator.
"""
