"""What a page says of how it came about: model, inputs, versions, and the command to repeat it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from backtrace_onnx.explanation import Explanation
from backtrace_onnx.model.loading import load
from backtrace_onnx.report.page.writer import Whole
from backtrace_onnx.results.support import Support


@dataclass(frozen=True)
class UsedRule:
    """How the nodes of one operator are explained."""

    operator: str
    nodes: int
    rule: str


@dataclass(frozen=True)
class PageFacts:
    """What is said of a page's making; what is not known is empty.

    Attributes:
        model: name of the model's file. command: in full, as it is typed.
        identity: names and values: hashes, operator sets, producer, versions.
        rules: how operators on the way are explained.
    """

    model: str = ""
    command: str = ""
    identity: tuple[tuple[str, str], ...] = ()
    rules: tuple[UsedRule, ...] = ()


def page_facts(
    model: Path | None,
    made: Sequence[Explanation],
    *,
    command: str = "",
    support: Iterable[Support] = (),
) -> PageFacts:
    """The facts of explanations that are shown together. Raises ModelError for a model's file."""
    told = [("inputs, SHA-256", inputs_sha256(made))]
    if model is not None:
        loaded = load(model)
        sets = (f"{domain or 'ai.onnx'} {number}" for domain, number in loaded.opsets.items())
        wrote = f"{loaded.proto.producer_name} {loaded.proto.producer_version}".strip()
        told = [
            ("model, SHA-256", _sha256(model)),
            *told,
            ("operator sets", ", ".join(sets)),
            *([("written by", wrote)] if wrote else []),
        ]
    told += [(name, version(name)) for name in ("backtrace-onnx", "numpy", "onnx", "onnxruntime")]
    rules = used_rules(made, support)
    return PageFacts(str(model or ""), Whole(command), tuple(told), rules)


def used_rules(made: Sequence[Explanation], support: Iterable[Support]) -> tuple[UsedRule, ...]:
    """The rules of the nodes that handed relevance on, most frequent first."""
    known = list(support)
    met = {name for explanation in made for name in explanation.ledger}
    rows = [row for row in known if row.node in met] or [
        row for row in known if row.coverage in ("exact", "expanded")
    ]
    counts = Counter((row.operator, row.rule) for row in rows)
    return tuple(UsedRule(operator, n, rule) for (operator, rule), n in counts.most_common())


def inputs_sha256(made: Sequence[Explanation]) -> str:
    """Of the arrays that the model was given: names, types, shapes and values."""
    digest = hashlib.sha256()
    seen = set[int]()
    for explanation in made:
        if id(explanation.inputs) in seen:
            continue
        seen.add(id(explanation.inputs))
        for name, x in explanation.inputs.items():
            array = np.asarray(x)
            digest.update(
                f"{name}\0{array.dtype}\0{array.shape}\0".encode("utf-8", "surrogatepass")
            )
            text = array.dtype.kind == "O"
            own = repr(array.tolist()).encode("utf-8", "surrogatepass") if text else array.tobytes()
            digest.update(own)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


__all__ = ["PageFacts", "UsedRule", "inputs_sha256", "page_facts", "used_rules"]
