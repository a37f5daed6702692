"""One file per operator family. Importing this package registers every rule."""

from backtrace_onnx.rules.discovery import import_files

import_files(__name__, __path__)
