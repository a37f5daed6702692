"""The words of rules and policies: ONNX's operators, named passes, arithmetic enter.

Calls leave that each backend carries out in its own way.
It never knows who asks, nor how a call is carried out.
"""
