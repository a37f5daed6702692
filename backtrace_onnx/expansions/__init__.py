"""Operators that are read as others: a node that has a text but no rule enters.

The standard operators that it stands for leave, or a sentence why it is refused.
It never knows relevance.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):  # a new file is found by itself: importing it registers
    import_module(f"{__name__}.{_module.name}")
