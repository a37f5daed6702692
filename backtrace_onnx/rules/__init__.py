"""What every operator is: an `Op` enters, a node and all that is known before it runs.

Its `Structure` leaves, or a `RuleError` that says why it has none.
It never knows a backend, a policy, or the numbers of a sample.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):  # a new file is found by itself: importing it registers
    import_module(f"{__name__}.{_module.name}")
