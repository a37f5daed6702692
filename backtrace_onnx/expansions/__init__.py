"""Operators that are read as others: a node that has a text but no rule enters.

The standard operators that it stands for leave, or a sentence why it is refused.
It never knows relevance.
"""

from backtrace_onnx.rules.discovery import import_files

import_files(__name__, __path__)
