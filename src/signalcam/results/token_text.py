"""Names of tokens as people read them: pieces of words put together, marks and code points undone."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_BYTES = [
    *range(33, 127),
    *range(161, 173),
    *range(174, 256),
]  # which byte-level vocabularies print as they are
_CODES = {chr(byte): byte for byte in _BYTES} | {
    chr(256 + number): byte for number, byte in enumerate(each for each in range(256) if each not in _BYTES)
}
_SPACE, _LINE = "Ġ", "Ċ"  # the space and the new line among them


@dataclass(frozen=True)
class Word:
    """A token as it is drawn.

    Attributes:
        token: Its number in the sample.
        text: What is written; a space for a token that is one.
        glued: It follows the token before without a space.
    """

    token: int
    text: str
    glued: bool = False


def words(names: Sequence[str]) -> list[Word]:
    """Make tokens readable, those without a name left out.

    Pieces are told by the marks of WordPiece (``##ing``), SentencePiece (``▁good``) and byte-level
    vocabularies (``Ġgood``), and by names that hold their own spaces, as single characters do.

    Args:
        names: Of one sample's tokens.

    Example:
        >>> [(word.text, word.glued) for word in words(["", "play", "##ing", "well"])]
        [('play', False), ('ing', True), ('well', False)]
        >>> [(word.text, word.glued) for word in words(["ĠcafÃ©", "s", "Ġopen"])]
        [('café', False), ('s', True), ('open', False)]
    """
    kept = [(token, name) for token, name in enumerate(names) if name]
    texts = _spelt([name for _, name in kept])
    spaced = any(text[0].isspace() for text in texts)
    found = []
    for (token, _), text in zip(kept, texts, strict=True):
        piece = not spaced and text.startswith("##") and len(text) > 2
        glued = piece or (spaced and (not text[0].isspace() or text.isspace()))
        found.append(Word(token, _printable(text.removeprefix("##") if piece else text), glued))
    return found


def _spelt(names: Sequence[str]) -> list[str]:
    """Spaces as spaces, and bytes as the letters they stand for."""
    if any(name[0] in (_SPACE, _LINE) for name in names):
        return [_decoded(name) for name in names]
    return [name.replace("▁", " ") for name in names]


def _decoded(name: str) -> str:
    """The letters of a byte-level token; a letter cut in two is a replacement sign."""
    if not set(name) <= set(_CODES):
        return name
    return bytes(_CODES[each] for each in name).decode(errors="replace")


def _printable(text: str) -> str:
    if text.isspace():
        return "↵" if "\n" in text else " "
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text.strip())


def runs_leftwards(texts: Sequence[str]) -> bool:
    """Whether most letters are of a script written from right to left."""
    kinds = [unicodedata.bidirectional(each) for text in texts for each in text]
    return sum(kind in ("R", "AL") for kind in kinds) > kinds.count("L")
