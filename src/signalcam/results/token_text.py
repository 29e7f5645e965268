"""Here you find readable names of tokens: subword marks removed, bytes decoded."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_BYTES = [
    *range(33, 127),
    *range(161, 173),
    *range(174, 256),
]  # byte-level vocabularies print these bytes as they are
_CODES = {chr(byte): byte for byte in _BYTES} | {
    chr(256 + number): byte for number, byte in enumerate(each for each in range(256) if each not in _BYTES)
}
_SPACE, _LINE = "Ġ", "Ċ"  # space and new line in such vocabularies


@dataclass(frozen=True)
class Word:
    """A token with its readable text.

    Attributes:
        token: Its index in the sample.
        text: The text; a space for a space token.
        glued: Whether it follows the token before without a space.
    """

    token: int
    text: str
    glued: bool = False


def words(names: Sequence[str]) -> list[Word]:
    """Return the readable text of each token that has a name.

    Subword marks are those of WordPiece (``##ing``), SentencePiece (``▁good``) and byte-level
    vocabularies (``Ġgood``). Names may also hold their own spaces, as single characters do.

    Args:
        names: Names of one sample's tokens.

    Example:
        >>> [(word.text, word.glued) for word in words(["", "play", "##ing", "well"])]
        [('play', False), ('ing', True), ('well', False)]
        >>> [(word.text, word.glued) for word in words(["ĠcafÃ©", "s", "Ġopen"])]
        [('café', False), ('s', True), ('open', False)]
    """
    tokens = [(token, name) for token, name in enumerate(names) if name]
    texts = _decode_names([name for _, name in tokens])
    spaced = any(text[0].isspace() for text in texts)
    readable = []
    for (token, _), text in zip(tokens, texts, strict=True):
        piece = not spaced and text.startswith("##") and len(text) > 2
        glued = piece or (spaced and (not text[0].isspace() or text.isspace()))
        readable.append(Word(token, _to_printable(text.removeprefix("##") if piece else text), glued))
    return readable


def _decode_names(names: Sequence[str]) -> list[str]:
    """Decode spaces and bytes."""
    if any(name[0] in (_SPACE, _LINE) for name in names):
        return [_decode(name) for name in names]
    return [name.replace("▁", " ") for name in names]


def _decode(name: str) -> str:
    """Decode a byte-level token; an incomplete character becomes a replacement sign."""
    if not set(name) <= set(_CODES):
        return name
    return bytes(_CODES[each] for each in name).decode(errors="replace")


def _to_printable(text: str) -> str:
    if text.isspace():
        return "↵" if "\n" in text else " "
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text.strip())


def runs_leftwards(texts: Sequence[str]) -> bool:
    """Return whether most letters are of a right-to-left script."""
    kinds = [unicodedata.bidirectional(each) for text in texts for each in text]
    return sum(kind in ("R", "AL") for kind in kinds) > kinds.count("L")
