"""What an audit asks of a model's reasons: a case of rows, and what was, enter each check.

A finding leaves: a number held to a bound, and whether an intervention confirms it.
It never knows how findings are shown, nor which check comes before it.
"""
