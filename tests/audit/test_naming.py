"""Names in settings are held to the features before anything is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backtrace_onnx.audit.calls import open_audit
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import InputError
from tests.audit.audited import linear, write_model, write_rows

REASONS = 'outcome = "yes"\n[[reasons]]\ncode = "R1"\ntext = "t"\nfeatures = ["leek"]\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 20)
    write_model(tmp_path, linear())
    (tmp_path / "reasons.toml").write_text(REASONS)

    def explained(*_: Any, **__: Any) -> Any:
        raise AssertionError("explained before names were read")

    monkeypatch.setattr(AuditedModel, "explain", explained)
    return tmp_path


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"sensitive": ["leek"], "top_features": {"required": ["z*"], "forbidden": ["A"]}},
        [
            "settings: sensitive: no feature is called 'leek'; did you mean 'leak'?",
            "settings: top_features.required: no feature is called 'z*'; there are: a, b, c, leak",
            "settings: top_features.forbidden: no feature is called 'A'; did you mean 'a'?",
        ],
    ),
    (
        {"reasons": "reasons.toml"},
        ["settings: reasons.toml: reason R1: no feature is called 'leek'; did you"],
    ),
    ({"mask": "no.png"}, ["settings: mask: no.png: no such file"]),
    ({"reference": "no.npz"}, ["settings: reference: no.npz: no such file"]),
    ({"mask": "rows.csv"}, ["rows.csv: is no .npy or .npz file"]),
    ({"groups": ["anser"]}, ["rows.csv: has no column 'anser' (did you mean: answer?)"]),
    ({"ids": ["anser"]}, ["rows.csv: has no column 'anser' (did you mean: answer?)"]),
]


@pytest.mark.parametrize(("settings", "told"), WRONG)
def test_every_name_that_is_none_is_told_at_once(
    folder: Path, settings: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        open_audit("net.onnx", "rows.csv", settings=settings)
    lines = str(error.value).splitlines()
    assert len(lines) == len(told)
    assert all(line.startswith(own) for line, own in zip(lines, told, strict=True))
