"""What a model is, as one number: its structure and every weight, however it came."""

from __future__ import annotations

import hashlib

import numpy as np

from backtrace_onnx.model.loading import Model


def digest(model: Model) -> str:
    """SHA-256 of a loaded model: the same from a file, from bytes, and with weights beside it."""
    found = hashlib.sha256(model.proto.SerializeToString(deterministic=True))
    for name in sorted(model.aside):
        array = np.ascontiguousarray(model.aside[name])
        found.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


__all__ = ["digest"]
