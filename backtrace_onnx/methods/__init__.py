"""What a mode is, as data: policies, and what is checked of them.

A user's function enters; a checked `Policy` leaves. It never knows a layer or an operator.
"""
