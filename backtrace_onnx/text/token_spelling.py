"""Pieces of a vocabulary as people read them: which text they stand for, and where words begin.

Spellings: `##` continues a word (WordPiece), `▁` stands for a space (SentencePiece), `Ġ` for one
among the 256 letters that stand for bytes (byte-level BPE), `</w>` ends a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Inner

_KEPT = {"unk", "mask"}  # special tokens that stand for a word of the text
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Token:
    """One token.

    Attributes:
        piece: as the vocabulary writes it.
        raw: the text that it stands for, UTF-8, with the space before it; may be part of a letter.
        special: whether it is no part of the text: [CLS], <s>, [PAD] ...
        begins: whether a word begins with it.
    """

    id: int
    piece: str
    raw: bytes
    special: bool = False
    begins: bool = True

    @property
    def text(self) -> str:
        """The text that it stands for; bytes that are no whole letter as `�`."""
        return self.raw.decode("utf-8", "replace")


@dataclass(frozen=True)
class Spelling:
    """How a vocabulary writes its pieces.

    Attributes:
        kind: "bytes", "space" (▁) or "words" (pieces are words, but for the marks below).
        inner: prefix of pieces that continue a word. end: suffix of pieces that end one.
        names: name of every special token by id.
    """

    kind: str
    inner: str
    end: str
    inner_tokenizer: Inner
    names: dict[int, str]

    @classmethod
    def of(cls, tokenizer: Inner) -> Spelling:
        """The spelling of a tokenizer of the tokenizers library."""
        model = tokenizer.model
        inner = getattr(model, "continuing_subword_prefix", None) or ""
        end = getattr(model, "end_of_word_suffix", None) or ""
        added = tokenizer.get_added_tokens_decoder().items()
        names = {i: token.content for i, token in added if token.special and not _kept(token)}
        kind = "words"
        if not inner and not end:
            kind = "space" if tokenizer.token_to_id("▁") is not None else kind
            kind = "bytes" if tokenizer.token_to_id("Ġ") is not None else kind
        return cls(kind, inner, end, tokenizer, names)

    def is_special(self, token: int) -> bool:
        """Whether an id stands for no part of a text."""
        return token in self.names

    def tokens(self, ids: Sequence[int]) -> list[Token]:
        """The tokens of a text, each told whether it begins a word."""
        return list(self._tokens(ids))

    def _tokens(self, ids: Sequence[int]) -> Iterator[Token]:
        before = b""
        ended = True
        for i in ids:
            piece = self.inner_tokenizer.id_to_token(i) if i >= 0 else None
            if piece is None or self.is_special(i):
                name = piece or f"<id {i}>"
                yield Token(i, name, name.encode("utf-8", "replace"), self.is_special(i))
                before, ended = b"", True
                continue
            raw, begins = self._read(piece, before, ended)
            ended = not self.end or piece.endswith(self.end)
            yield Token(i, piece, raw, False, begins)
            before = raw

    def _read(self, piece: str, before: bytes, ended: bool) -> tuple[bytes, bool]:
        if self.kind == "words":
            return self._word(piece, before, ended)
        raw = _bytes(piece) if self.kind == "bytes" else _spaced(piece)
        return raw, not before or raw[:1].isspace() or not _joined(before, raw)

    def _word(self, piece: str, before: bytes, ended: bool) -> tuple[bytes, bool]:
        begins = not (self.inner and piece.startswith(self.inner)) and ended
        bare = piece if begins or not self.inner else piece.removeprefix(self.inner)
        bare = bare.removesuffix(self.end) if self.end else bare
        space = " " if begins and before else ""
        return f"{space}{bare}".encode("utf-8", "replace"), begins


def _kept(token: object) -> bool:
    return str(getattr(token, "content", "")).strip("[]<>|").lower() in _KEPT


def _joined(before: bytes, raw: bytes) -> bool:
    """Whether two pieces belong to one word: letters, digits or parts of letters meet, or a space.

    The space is one that the vocabulary has no piece for together with what follows.
    """
    if before == b" ":
        return True
    return _wordlike(before[-1]) and _wordlike(raw[0]) if raw else True


def _wordlike(byte: int) -> bool:
    return byte >= 0x80 or chr(byte).isalnum() or byte == ord("'")


def _spaced(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    if byte:
        return bytes([int(byte[1], 16)])
    return piece.replace("▁", " ").encode("utf-8", "replace")


def _bytes(piece: str) -> bytes:
    """The bytes that the letters of a byte-level piece stand for; other letters are themselves."""
    letters = _letters()
    return b"".join(letters.get(c, c.encode("utf-8", "replace")) for c in piece)


@cache
def _letters() -> dict[str, bytes]:
    """Byte of each letter of GPT-2's alphabet (Radford et al. 2019): printable ones are their own.

    The others follow in order from U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in set(printable)]
    found = {chr(b): bytes([b]) for b in printable}
    return found | {chr(0x100 + n): bytes([b]) for n, b in enumerate(others)}
