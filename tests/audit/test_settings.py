"""Settings: what is wrong in them is named, with the key that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtrace_onnx.audit.checks.catalogue import IDS
from backtrace_onnx.audit.settings import read_settings
from backtrace_onnx.errors import InputError

WRONG = [
    ("sensitiv = []", "unknown key 'sensitiv'; did you mean 'sensitive'?"),
    (
        "[top_features]\nforbiden = []",
        "top_features.forbiden: unknown key 'forbiden'; did you mean",
    ),
    (
        "[checks.rank-drift]\ntreshold = 1",
        "checks.rank-drift.treshold: unknown key 'treshold'; did",
    ),
    ("[checks.rank_drift]\nthreshold = 1", "no check 'rank_drift'; did you mean 'rank-drift'?"),
    ("required = ['ledgr']", "required: there is no check 'ledgr'; did you mean 'ledger'?"),
    ("[checks.ledger]\nseverity = 'fatal'", "checks.ledger.severity: "),
    ("[checks.ledger]\nthreshold = nan", "checks.ledger.threshold: "),
    ("[checks.ledger]\nrows = 0", "checks.ledger.rows: "),
    ("sensitive = 'gender'", "sensitive: "),
    ("a = [", "not valid TOML"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_wrong_settings_are_named(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.toml"
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        read_settings(file, IDS)
    assert words in str(raised.value) and str(file) in str(raised.value)


def test_every_wrong_key_is_told(tmp_path: Path) -> None:
    file = tmp_path / "audit.toml"
    file.write_text("sensitiv = []\nmod = 'lrp'\n")
    with pytest.raises(InputError, match=r"(?s)'sensitive'.*'mode'"):
        read_settings(file, IDS)


def test_a_table_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(None, IDS).mode == "auto"
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n")
    assert read_settings(None, IDS).mode == "auto"
    with pytest.raises(InputError, match=r"no table \[tool\.backtrace-onnx\.audit\]"):
        read_settings(project, IDS)
    project.write_text("[tool.backtrace-onnx.audit]\nmode = 'lrp'\n")
    assert read_settings(None, IDS).mode == read_settings(project, IDS).mode == "lrp"
    project.write_text("[tool.backtrace-onnx.audit]\nmood = 'lrp'\n")
    with pytest.raises(InputError, match="did you mean 'mode'"):
        read_settings(None, IDS)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_settings(tmp_path / "none.toml", IDS)
