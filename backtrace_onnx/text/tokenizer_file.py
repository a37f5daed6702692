"""A tokenizer.json: texts to ids as the tokenizers library reads it, and ids back to tokens."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.text.token_spelling import Spelling, Token

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Inner

Array = npt.NDArray[Any]
Text = str | tuple[str, str]
INSTALL = "pip install 'backtrace-onnx[text]' (or: pip install tokenizers)"
_MASKS = ("[MASK]", "<mask>")
_UNKNOWN = ("[UNK]", "<unk>")
_PADS = ("[PAD]", "<pad>", "<|pad|>", "<PAD>")


@dataclass(frozen=True)
class Encoded:
    """The ids of one text, and to which text of a pair each belongs."""

    ids: tuple[int, ...]
    types: tuple[int, ...]


class TokenizerFile:
    """A tokenizer.json: the ids of texts, and the tokens of ids.

    Its padding and truncation are not used: texts are padded as a model needs it, and never cut
    unless asked for. Raises InputError where the file cannot be read, or the tokenizers library
    is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._inner = _loaded(self.path)
        padding = self._inner.padding or {}
        self._pad: int | None = padding.get("pad_id", self._first(_PADS))
        self.pads_left = padding.get("direction") == "left"
        self._inner.no_padding()
        self._inner.no_truncation()
        self._spelling = Spelling.of(self._inner)

    @property
    def pad(self) -> int | None:
        """The id that fills short texts, if the file names one."""
        return self._pad

    @property
    def mask(self) -> int | None:
        """The id that stands for a word to be found, if there is one."""
        return self._first(_MASKS)

    @property
    def size(self) -> int:
        """Number of ids."""
        return int(self._inner.get_vocab_size(with_added_tokens=True))

    def encode(self, text: Text, *, special: bool = True, most: int | None = None) -> Encoded:
        """The ids of a text, or of a pair of texts, with the special tokens around them or not.

        Text that makes it more than `most` tokens is cut off; of a pair, off the longer one.
        """
        parts = text if isinstance(text, tuple) else (text,)
        if len(parts) not in (1, 2) or not all(isinstance(part, str) for part in parts):
            raise InputError(f"a text is a string or a pair of strings, not {text!r}")
        try:
            for part in parts:
                part.encode()  # older libraries leave out surrogates without a word
            pair = parts[1] if len(parts) > 1 else None
            if most is not None:
                self._inner.enable_truncation(most)
            found = self._inner.encode(parts[0], pair, add_special_tokens=special)
        except Exception as error:  # whatever the library cannot read
            raise InputError(f"the text {parts[0][:40]!r} cannot be tokenised: {error}") from None
        finally:
            self._inner.no_truncation()
        return Encoded(tuple(found.ids), tuple(found.type_ids))

    def tokens(self, ids: Iterable[int]) -> list[Token]:
        """The tokens of some ids, in order."""
        return self._spelling.tokens([int(i) for i in np.asarray(list(ids)).reshape(-1)])

    def are_special(self, ids: Array) -> npt.NDArray[np.bool_]:
        """Which of some ids stand for no word, as those around a text do: bool like them.

        The token of words that are not known stands for one.
        """
        unknown = self._first([getattr(self._inner.model, "unk_token", None) or "", *_UNKNOWN])
        found = {int(i) for i in np.unique(ids)} - {unknown}
        return np.isin(ids, [i for i in found if self._spelling.is_special(i)])

    def token_id(self, token: str | int) -> int:
        """The id of one token, given as text (" Paris") or as id.

        Raises RequestError for a text that is no single token, with the tokens that it is.
        """
        if not isinstance(token, str):
            return int(token)
        known = self._inner.token_to_id(token)
        if known is not None and self._spelling.is_special(known):
            return int(known)
        ids = self.encode(token, special=False).ids
        if len(ids) != 1:
            parts = ", ".join(repr(part.text) for part in self.tokens(ids)) or "none"
            raise RequestError(
                f"{token!r} is not one token but {len(ids)} ({parts}); choose one of them, "
                "or explain them one by one as a continuation"
            )
        return ids[0]

    def _first(self, names: Sequence[str]) -> int | None:
        found = (self._inner.token_to_id(name) for name in names)
        return next((i for i in found if i is not None), None)


def _loaded(path: Path) -> Inner:
    try:
        from tokenizers import Tokenizer as Library
    except ImportError:
        raise InputError(f"{path}: reading text needs the tokenizers library: {INSTALL}") from None
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    try:
        return Library.from_file(str(path))
    except Exception as error:  # the library raises plain exceptions
        raise InputError(f"{path}: not a tokenizer.json that can be read ({error})") from None
