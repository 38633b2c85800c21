"""Text to token ids and back, over the `tokenizers` library.   Training and serving run this same code.

Adds no special token and recognises none in text: what a user writes is text, `<eos>` included.
"""

from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import tokenizers

from service.errors import BundleError, InferenceFailedError, ServiceError

Result = TypeVar("Result")

CONTEXT_TOKENS = 16
"""So many tokens before a text tell how it is spaced."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What decoding gives for bytes that are not (yet) a character."""

PROOF_TEXTS = ("", " ", "a", "The cat sat.", "e\u0301 \u65e5\u672c \U0001f469", "\0\n", "<eos>", "a" * 200)
"""What a tokenizer must be able to encode before it may serve."""


class Tokenizer:
    """A tokenizer read from the bytes of its `tokenizer.json`. Threads may share one."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # special tokens in a user's text are plain text
        self._backend = backend
        self.vocabulary_size: int = backend.get_vocab_size(with_added_tokens=True)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Parse a `tokenizer.json`.

        Raises:
            BundleError: not a tokenizer, or its ids are not 0 to vocabulary size - 1.
        """
        backend = _guarded(lambda: tokenizers.Tokenizer.from_buffer(raw), BundleError, "not a tokenizer")
        ids = set(backend.get_vocab(with_added_tokens=True).values())
        if ids != set(range(len(ids))):
            raise BundleError(f"token ids must be 0 to {len(ids) - 1} without gaps")
        return cls(backend)

    def prove(self) -> None:
        """Encode a few texts, also as words, and decode every id, alone and together.

        Raises:
            BundleError: the tokenizer breaks on one of them.
        """
        ids = list(range(self.vocabulary_size))
        try:
            for text in PROOF_TEXTS:
                self.encode(text)
                self.word_spans(text)
            self.encode_words(PROOF_TEXTS)
            self.tokens(ids)
            for some in ([], ids, *([one] for one in ids)):
                self.decode(some)
        except InferenceFailedError as error:
            raise BundleError(error.message) from error

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without special tokens. Other threads can run meanwhile.

        Of the library's methods, those for several texts let go of the interpreter; and the fast one is cheaper, for
        it does not note which characters each id comes from.
        """
        return _guarded(
            lambda: list(self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids),
            InferenceFailedError,
            "the tokenizer broke on a text",
        )

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids of words, each encoded by itself, and for each id the index of its word. No special tokens."""
        found = self._encoding(list(words), is_pretokenized=True)
        return list(found.ids), [word for word in found.word_ids if word is not None]

    def word_spans(self, text: str) -> list[tuple[int, int]]:
        """Where the words of a text begin and end, in characters, as the pre-tokenizer cuts it; in order."""
        spans = _spans_by_word(self._encoding(text))
        return [spans[word] for word in sorted(spans)]

    def token_words(self, text: str) -> list[str]:
        """For each id of `encode(text)`, the word that it is of, as the text spells it."""
        found = self._encoding(text)
        spans = _spans_by_word(found)
        return ["" if word is None else text[slice(*spans[word])].strip() for word in found.word_ids]

    @property
    def unknown_id(self) -> int | None:
        """Id that stands for what has no token; None where everything has one."""
        token = getattr(self._backend.model, "unk_token", None)
        return None if token is None else self.id_of(token)

    def _encoding(self, text: str | list[str], *, is_pretokenized: bool = False) -> tokenizers.Encoding:
        """Ids with the words and characters they come from; other threads can run meanwhile."""
        return _guarded(
            lambda: self._backend.encode_batch([text], is_pretokenized, add_special_tokens=False)[0],
            InferenceFailedError,
            "the tokenizer broke on a text",
        )

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special tokens give nothing, incomplete characters give U+FFFD."""
        return _guarded(
            lambda: self._backend.decode(list(ids), skip_special_tokens=True),
            InferenceFailedError,
            "the tokenizer broke on token ids",
        )

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """One readable piece per id, for pictures and tables; special tokens by name."""
        return [self._piece(one) for one in ids]

    def id_of(self, token: str) -> int | None:
        """Id of a token as the vocabulary spells it, or None."""
        return self._backend.token_to_id(token)

    def _piece(self, token_id: int) -> str:
        text = _guarded(
            lambda: self._backend.decode([token_id], skip_special_tokens=False),
            InferenceFailedError,
            "the tokenizer broke on a token id",
        )
        if text and REPLACEMENT not in text:
            return text
        return self._backend.id_to_token(token_id) or ""  # part of a character: as the vocabulary spells it


def _spans_by_word(encoding: tokenizers.Encoding) -> dict[int, tuple[int, int]]:
    spans: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:
            first, last = spans.get(word, (start, end))
            spans[word] = (min(first, start), max(last, end))
    return spans


def _guarded(work: Callable[[], Result], error: type[ServiceError], problem: str) -> Result:
    """Run a call of the library; whatever it raises becomes an `error`.

    It raises plain Exception; and a panic of its Rust code, which a file can provoke, is a BaseException that no
    `except Exception` of a caller would stop.
    """
    try:
        return work()
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as cause:
        raise error(f"{problem}: {cause}") from cause


class TextStream:
    """Text of tokens that come one after another, as soon as it is certain.

    A character may need several tokens, and a token's spacing may depend on the one before it. So new tokens are
    decoded together with the last ones that gave text, and an incomplete character is held back. The pieces joined
    are `Tokenizer.decode` of all ids, as they stand after those of `context`. A stream that is made of another's
    `context` and `held` goes on where that one is.
    """

    def __init__(self, tokenizer: Tokenizer, context: Sequence[int] = (), held: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._said = list(context)  # the ids that gave the last piece
        self._held = list(held)  # the ids that gave none yet

    @property
    def context(self) -> list[int]:
        """The last ids that gave text: they tell how the text after them is spaced."""
        return self._said[-CONTEXT_TOKENS:]

    @property
    def held(self) -> list[int]:
        """Ids that are no whole character yet."""
        return list(self._held)

    def push(self, ids: Sequence[int]) -> str:
        """Take the next ids; return the text that is now certain, often empty."""
        self._held.extend(ids)
        new = self._new_text()
        if not new or new.endswith(REPLACEMENT):
            return ""
        self._said, self._held = self._held, []
        return new

    def finish(self) -> str:
        """The text still held back. Nothing may be pushed afterwards."""
        return self._new_text()

    def _new_text(self) -> str:
        before = self._tokenizer.decode(self._said)
        return self._tokenizer.decode(self._said + self._held)[len(before) :]
