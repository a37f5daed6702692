"""The two ways to run an explanation: the arguments of a call and checked inputs enter.

An `Outcome` leaves, and an `Explanation` assembled from it.
It never knows files or pictures.
"""
