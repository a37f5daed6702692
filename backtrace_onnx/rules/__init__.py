"""What every operator is: an `Op` enters, a node and all that is known before it runs.

Its `Structure` leaves, or a `RuleError` that says why it has none.
It never knows a backend, a policy, or the numbers of a sample.
"""

from backtrace_onnx.rules.discovery import import_files

import_files(__name__, __path__)
