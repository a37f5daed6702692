"""What is said to people: words, names and values enter.

Notes, names that may have been meant and text that a terminal may be given leave.
It never knows a model.
"""
