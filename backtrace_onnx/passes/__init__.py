"""What is one operator is read as one: a loaded `Model` enters.

The same model, prepared to run, leaves, and the `Graph` that rules read.
It never knows relevance; reading nodes as one changes what rules see, not what runs.
"""
