"""What is said to people: notes, names they may have meant, text a terminal may be given.

Words and values enter, sentences leave. It never knows a model.
"""
