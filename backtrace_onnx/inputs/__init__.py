"""What people hand over: arrays, tables, pictures, sound and sidecars enter.

Arrays by input name leave, and names for their parts.
It never knows relevance.
"""
