"""What an audit checks and how strictly: audit.toml, or [tool.backtrace-onnx.audit]."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backtrace_onnx.errors import InputError
from backtrace_onnx.messages.similar_names import find_alike

Severity = Literal["warning", "error"]
TABLE = "tool.backtrace-onnx.audit"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CheckSettings(_Section):
    """What of one check is other than the check says.

    Attributes:
        threshold: the bound that its number is held to.
        severity: what it means that the check fails.
        enabled: whether it runs.
        rows: how many rows it runs on, drawn from all.
    """

    threshold: float | None = None
    severity: Severity | None = None
    enabled: bool = True
    rows: int | None = Field(default=None, ge=1)


class TopFeatures(_Section):
    """Features that must, and that must not, be among those with most |relevance|.

    Attributes:
        required, forbidden: names of features, or patterns with * and ?.
        count: how many features are the top.
    """

    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    count: int = Field(default=3, ge=1)


class ModelCard(_Section):
    """What only people know of a model, for its card.

    Attributes:
        name: default: that of the model's file. owner: who answers for it.
        users, use_cases: whom it is for, and for what. limitations: what it is not for, or bad at.
        ethics: what was considered. training_data: what it learned from.
    """

    name: str = ""
    description: str = ""
    owner: str = ""
    license: str = ""
    users: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    ethics: tuple[str, ...] = ()
    training_data: tuple[str, ...] = ()


class AuditSettings(_Section):
    """All of an audit's settings; every one has a default.

    Attributes:
        mode, output, task: as `explain` takes them.
        label: the column of the data that holds the true answers.
        ids: columns of the data by which users find a row again.
        groups: columns of the data that say which people a row is about.
        tokenizer: a tokenizer.json, for texts; default: the sidecar's.
        background: a file or folder of samples, for modes that compare.
        reference: a file of outputs of the first rows, as the exporter computed them (.npz).
        reasons: a file of sentences, why people are denied an outcome (.toml).
        mask: a file of what answers should rest on (.npy, .npz or a picture).
        sensitive: names or patterns of features that answers should not rest on.
        required: ids of checks that fail where they cannot run.
        checks: settings of single checks, by id.
    """

    mode: str = "auto"
    output: str | None = None
    task: Literal["classification", "regression"] | None = None
    label: str | None = None
    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tokenizer: str | None = None
    background: str | None = None
    reference: str | None = None
    reasons: str | None = None
    mask: str | None = None
    sensitive: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    top_features: TopFeatures = TopFeatures()
    model_card: ModelCard = ModelCard()
    checks: dict[str, CheckSettings] = {}

    @property
    def files(self) -> tuple[str, ...]:
        """The files that they name."""
        named = (self.tokenizer, self.background, self.reference, self.reasons, self.mask)
        return tuple(file for file in named if file is not None)

    def of(self, check: str) -> CheckSettings:
        """The settings of one check."""
        return self.checks.get(check, CheckSettings())


def read_settings(path: Path | None, known: Sequence[str]) -> AuditSettings:
    """The settings of a file, or of the pyproject.toml of this folder, or the defaults.

    Args:
        path: a .toml file; of one called pyproject.toml its table [tool.backtrace-onnx.audit].
        known: ids of all checks.

    Raises InputError naming the file and every key that is wrong.
    """
    file = settings_file(path)
    if file is None:
        return AuditSettings()
    return settings_of(_table(file, asked=path is not None), str(file), known)


def settings_file(path: Path | None) -> Path | None:
    """The file that settings are read from: a .toml file, or this folder's pyproject.toml.

    None where no file is named and this folder's has no table of settings, or is none.
    """
    if path is not None:
        return path
    own = Path("pyproject.toml")
    return own if own.is_file() and _table(own, asked=False) else None


def _table(file: Path, *, asked: bool) -> dict[str, Any]:
    """What a file says of audits. Raises InputError where it was `asked` for and says nothing."""
    content = _parsed(file)
    if file.name != "pyproject.toml":
        return content
    table = content.get("tool", {}).get("backtrace-onnx", {}).get("audit")
    if table is None and asked:
        raise InputError(f"{file}: has no table [{TABLE}]")
    return table or {}


def settings_of(content: Any, source: str, known: Sequence[str]) -> AuditSettings:
    """Settings of what a file holds. Raises InputError naming every key that is wrong."""
    try:
        made = AuditSettings.model_validate(content)
    except ValidationError as error:
        wrong = [f"{source}: {_told(one)}" for one in error.errors(include_url=False)]
        raise _of_lines(wrong) from None
    named = [*(("checks", name) for name in made.checks), *(("required", n) for n in made.required)]
    strange = [
        f"{source}: {where}: there is no check {name!r}{_meant(name, known)}"
        for where, name in named
        if name not in known
    ]
    if strange:
        raise _of_lines(strange)
    return made


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid TOML ({error})") from None


def _told(error: Any) -> str:
    *parents, key = error["loc"] or ("",)
    where = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    section: Any = AuditSettings
    if parents:
        section = {"top_features": TopFeatures, "model_card": ModelCard}.get(
            parents[0], CheckSettings
        )
    return f"{where}: unknown key {key!r}{_meant(str(key), list(section.model_fields))}"


def _meant(name: str, known: Sequence[str]) -> str:
    close = find_alike(name, known)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known)}"


def _of_lines(lines: Sequence[str]) -> InputError:
    error = InputError("\n".join(lines))
    error.in_lines = True
    return error
