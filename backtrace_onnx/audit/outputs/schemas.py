"""JSON schemas of what people and machines read and write: settings, reports, baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.outputs.record import ReportRecord
from backtrace_onnx.audit.settings import AuditSettings

_MODELS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {"settings": AuditSettings, "report": ReportRecord, "baseline": Baseline}
)
NAMES = tuple(_MODELS)


def schema_of(name: str) -> dict[str, Any]:
    """The JSON schema (2020-12) of "settings" (audit.toml), "report" or "baseline"."""
    made = _MODELS[name].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def schema_text(name: str) -> str:
    """The schema as a file."""
    return json.dumps(schema_of(name), indent=1, ensure_ascii=False) + "\n"


__all__ = ["NAMES", "schema_of", "schema_text"]
