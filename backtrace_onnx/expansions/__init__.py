"""One file per family of operators that are read as standard ones; importing registers them."""

from backtrace_onnx.rules.discovery import import_files

import_files(__name__, __path__)
