"""Two ways to carry out the words of `ops`: calls enter.

Arrays leave the eager backend, ONNX nodes leave the emitting one.
It never knows a rule, nor what is being explained.
"""
