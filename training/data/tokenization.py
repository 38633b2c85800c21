"""Learns a tokenizer from texts and gives it as the bytes of a `tokenizer.json`.   `service.text` reads it.

Every tokenizer normalises to NFC, and begins its vocabulary with the same special tokens.
"""

from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from training.errors import DataError
from training.settings import TokenizerSettings

PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
PAD_ID, BOS_ID, EOS_ID, UNKNOWN_ID = 0, 1, 2, 3
"""`<unk>` stands for what has no token; a byte-level tokenizer has a token for everything, and no `<unk>`."""

_ANY_CHARACTER = Regex(r"[\s\S]")
_WORD = Regex(r"[\w](?:[\w]|-(?=[\w]))*'?|[^\s\w]")
"""A word, its inner hyphens and a closing apostrophe included (`l'`, `re-made`), or one other sign."""


def train_tokenizer(texts: Iterable[str], settings: TokenizerSettings) -> bytes:
    """Learn a vocabulary from `texts`. The same texts and settings give the same bytes.

    Kinds:
        characters: decoding gives back the text exactly, but for characters that were never seen.
        words: decoding sets one blank between tokens, none before `. , ; : ! ?` nor after an apostrophe.
        bpe: bytes and merges of them; decoding gives back any text exactly.

    Returns:
        The bytes of a `tokenizer.json`. `encode` adds no special token by itself.

    Raises:
        DataError: there is no text to learn from.
    """
    texts = list(texts)
    if not any(texts):
        raise DataError("a tokenizer cannot be learnt from no text at all")
    tokenizer = _train_bytes(texts, settings) if settings.kind == "bpe" else _train_symbols(texts, settings)
    return tokenizer.to_str(pretty=True).encode()


def _train_symbols(texts: Iterable[str], settings: TokenizerSettings) -> Tokenizer:
    words = settings.kind == "words"
    normalizer = _normalizer(settings)
    splitter = pre_tokenizers.Split(
        _WORD if words else _ANY_CHARACTER, "removed" if words else "isolated", invert=words
    )
    counts = Counter(
        symbol for text in texts for symbol, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )
    special = [PAD, BOS, EOS, UNKNOWN]
    frequent = sorted((-count, symbol) for symbol, count in counts.items() if count >= settings.min_frequency)
    symbols = [symbol for _, symbol in frequent if symbol not in special]
    vocabulary = [*special, *symbols][: max(settings.vocabulary_size, len(special))]
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = _word_decoder() if words else decoders.Fuse()
    tokenizer.add_special_tokens([_special(token) for token in special])
    return tokenizer


def _train_bytes(texts: Iterable[str], settings: TokenizerSettings) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = _normalizer(settings)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary_size,
        min_frequency=settings.min_frequency,
        special_tokens=[_special(token) for token in (PAD, BOS, EOS)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)


def _normalizer(settings: TokenizerSettings) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if settings.kind == "words":
        steps.append(normalizers.Replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    if settings.lowercase:
        steps.append(normalizers.Lowercase())
    return normalizers.Sequence(steps)


def _word_decoder() -> decoders.Decoder:
    joined_by_blanks = decoders.WordPiece(prefix="\x00", cleanup=False)  # no token begins with this prefix
    return decoders.Sequence(
        [
            joined_by_blanks,
            decoders.Fuse(),
            decoders.Replace(Regex(r"(?<=\w') "), ""),
            decoders.Replace(Regex(r" (?=[.,;:!?])"), ""),
        ]
    )
