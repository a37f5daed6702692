"""Sentences of people, by the features and directions that they stand for: reasons.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from backtrace_onnx.errors import InputError
from backtrace_onnx.messages.similar_names import find_alike


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ReasonText(_Section):
    """One sentence.

    Attributes:
        code: its short name, such as "R07". text: the sentence.
        features: names or patterns; several are one reason, and their relevance is added up.
        direction: "low" or "high": only where the value lies below, or above, what is usual.
        values: of a column with categories: only where it is one of these.
    """

    code: str = Field(min_length=1)
    text: str = Field(min_length=1)
    features: tuple[str, ...] = Field(min_length=1)
    direction: Literal["low", "high", "any"] = "any"
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_condition(self) -> ReasonText:
        if self.values and self.direction != "any":
            raise ValueError("a reason has either a direction or values")
        return self


class ReasonTexts(_Section):
    """All sentences, in an order of preference: of equal reasons the first in the file is given.

    Attributes:
        outcome: the class that people hope for, a label or number; of a regression "higher" or
            "lower". Reasons speak against it.
        count: at most how many are given. everyone: whether those who got it are given some, too.
    """

    outcome: str
    count: int = Field(default=4, ge=1)
    everyone: bool = False
    reasons: tuple[ReasonText, ...] = Field(min_length=1)
    _source: str = PrivateAttr("reasons")

    @property
    def source(self) -> str:
        """The file that they were read from."""
        return self._source

    @model_validator(mode="after")
    def _codes_once(self) -> ReasonTexts:
        codes = [reason.code for reason in self.reasons]
        twice = next((code for code in codes if codes.count(code) > 1), None)
        if twice is not None:
            raise ValueError(f"code {twice!r} is there twice")
        return self


def read_reasons(path: Path) -> ReasonTexts:
    """The sentences of a file. Raises InputError naming the file and every key that is wrong."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid TOML ({error})") from None
    try:
        made = ReasonTexts.model_validate(content)
        made._source = str(path)
        return made
    except ValidationError as error:
        lines = [f"{path}: {_told(one)}" for one in error.errors(include_url=False)]
        wrong = InputError("\n".join(lines))
        wrong.in_lines = True
        raise wrong from None


def _told(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        said = str(error["msg"]).removeprefix("Value error, ")
        return f"{where}: {said}" if where else said
    *parents, key = error["loc"]
    section: type[BaseModel] = ReasonText if parents else ReasonTexts
    known = list(section.model_fields)
    close = find_alike(str(key), known)
    meant = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
    return f"{where}: unknown key {key!r}; {meant}"


__all__ = ["ReasonText", "ReasonTexts", "read_reasons"]
