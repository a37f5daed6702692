"""What people hand over: arrays, tables, pictures, sound, and the sidecar that says what they are.

Files and frames enter; arrays by input name, and names of their parts, leave.
It never knows relevance.
"""
