"""Learns a tokenizer from texts and gives it as the bytes of a `tokenizer.json`.   `service.text` reads it.

Every tokenizer normalises to NFC, and begins its vocabulary with the same special tokens.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from service.text.tokenizer import Tokenizer as Trained
from training.errors import DataError
from training.settings.recipe import TokenizerKind, TokenizerSettings

PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
PAD_ID, BOS_ID, EOS_ID, UNKNOWN_ID = 0, 1, 2, 3
"""`<unk>` stands for what has no token; a byte-level tokenizer has a token for everything, and no `<unk>`."""

_ANY_CHARACTER = Regex(r"[\s\S]")
_WORD = Regex(r"[\w](?:[\w]|-(?=[\w]))*'?|[^\s\w]")
"""A word, its inner hyphens and a closing apostrophe included (`l'`, `re-made`), or one other sign."""
_SPECIAL_START = Regex(r"<(?=(?:pad|bos|eos)>)")
"""What makes text look like a special token; split off, the rest of it is a word like others."""

_PART_LENGTH = 100_000
_BORDER = re.compile(r"(?<=[^\W_]) (?=[^\W_])")
"""A blank between two words: every kind of tokenizer cuts there, so that a text may be given in parts."""

_SCORE_DECIMALS = 4
_UNSEEN_SPREAD = 256 * 1e-4
"""Bytes that kept no score get the lowest one, and up to this much more, in no order."""


def train_tokenizer(texts: Iterable[str], settings: TokenizerSettings, *, of_words: bool = False) -> bytes:
    """Learn a vocabulary from `texts`. The same texts and settings give the same bytes.

    Kinds:
        characters: decoding gives back the text exactly, but for characters that were never seen.
        words: decoding sets one blank between tokens, none before `. , ; : ! ?` nor after an apostrophe.
        whitespace: decoding sets one blank between tokens.
        bpe: bytes and merges of them; decoding gives back any text exactly.
        unigram: bytes and pieces of words, cut where the product of their probabilities is highest; decoding gives
            back any text exactly.

    Args:
        texts: to learn from.
        settings: kind and size of the vocabulary.
        of_words: the tokenizer will encode words one by one. Kinds that cut words into pieces mark where each word
            begins, by a blank: `un` in `undone` is another piece than the word `un`.

    Returns:
        The bytes of a `tokenizer.json`. `encode` adds no special token by itself.

    Raises:
        DataError: there is no text to learn from.
    """
    texts = [part for text in texts for part in _parts(text)]
    if not any(texts):
        raise DataError("a tokenizer cannot be learnt from no text at all")
    train = {"bpe": _train_pairs, "unigram": _train_unigram}.get(settings.kind, _train_symbols)
    return train(texts, settings, of_words).to_str(pretty=True).encode()


def encode_long(tokenizer: Trained, text: str) -> list[int]:
    """Encode a text of any length. The library takes some hundred bytes of memory per character; here, for a part.

    Returns:
        What `tokenizer.encode` gives.
    """
    return [token_id for part in _parts(text) for token_id in tokenizer.encode(part)]


def _parts(text: str) -> Iterator[str]:
    """Cut a text between words, after every `_PART_LENGTH` characters or a few more."""
    start = 0
    while border := _BORDER.search(text, start + _PART_LENGTH):
        yield text[start : border.start()]
        start = border.start()
    yield text[start:]


def is_character_level(tokenizer: Trained) -> bool:
    """Whether each token of a learnt tokenizer is one character, and each character of a text one token."""
    over_bytes = tokenizer.id_of(UNKNOWN) is None
    pieces = tokenizer.tokens(range(UNKNOWN_ID + 1, tokenizer.vocabulary_size))
    return not over_bytes and len(tokenizer.encode("a b")) == 3 and all(len(piece) == 1 for piece in pieces)


def _train_symbols(texts: Iterable[str], settings: TokenizerSettings, of_words: bool) -> Tokenizer:
    normalizer = _normalizer(settings)
    if of_words and settings.kind == "characters":
        normalizer = normalizers.Sequence([normalizer, normalizers.Prepend(" ")])
    splitter = _splitter(settings.kind)
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
    tokenizer.decoder = _DECODERS[settings.kind]()
    tokenizer.add_special_tokens([_special(token) for token in special])
    return tokenizer


def _splitter(kind: TokenizerKind) -> pre_tokenizers.PreTokenizer:
    match kind:
        case "words":
            return pre_tokenizers.Split(_WORD, "removed", invert=True)
        case "whitespace":
            blanks = pre_tokenizers.WhitespaceSplit()
            return pre_tokenizers.Sequence([blanks, pre_tokenizers.Split(_SPECIAL_START, "isolated")])
    return pre_tokenizers.Split(_ANY_CHARACTER, "isolated")


def _train_pairs(texts: Iterable[str], settings: TokenizerSettings, of_words: bool) -> Tokenizer:
    tokenizer = _over_bytes(models.BPE(), settings, of_words)
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary_size,
        min_frequency=settings.min_frequency,
        special_tokens=[_special(token) for token in (PAD, BOS, EOS)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _train_unigram(texts: Iterable[str], settings: TokenizerSettings, of_words: bool) -> Tokenizer:
    """Source: Kudo 2018, arXiv:1804.10959, section 3.2; here over bytes, so that no character is unknown."""
    tokenizer = _over_bytes(models.Unigram(), settings, of_words)
    trainer = trainers.UnigramTrainer(
        vocab_size=settings.vocabulary_size,
        special_tokens=[_special(token) for token in (PAD, BOS, EOS)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    document = json.loads(tokenizer.to_str())
    document["model"]["vocab"] = _settled(document["model"]["vocab"])
    settled: Tokenizer = Tokenizer.from_str(json.dumps(document))
    return settled


def _settled(vocabulary: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Bring pieces and their scores (ln p) into the one form that every training on the same texts ends in.

    The library adds up in an order of its own in each process: scores differ in their last bits, and those of bytes
    that never occurred by a little more. The pieces themselves do not differ.
    """
    special, pieces = vocabulary[:UNKNOWN_ID], vocabulary[UNKNOWN_ID:]
    lowest = min(score for _, score in pieces)

    def score_of(piece: str, score: float) -> float:
        unseen = len(piece) == 1 and score <= lowest + _UNSEEN_SPREAD
        return round(lowest if unseen else score, _SCORE_DECIMALS)

    scored = [(piece, score_of(piece, score)) for piece, score in pieces]
    return [*special, *sorted(scored, key=lambda one: (-one[1], one[0]))]


def _over_bytes(model: models.Model, settings: TokenizerSettings, of_words: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = _normalizer(settings)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=of_words)
    tokenizer.decoder = decoders.ByteLevel()
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


def _joined_by_blanks() -> decoders.Decoder:
    return decoders.WordPiece(prefix="\x00", cleanup=False)  # no token begins with this prefix


def _word_decoder() -> decoders.Decoder:
    return decoders.Sequence(
        [
            _joined_by_blanks(),
            decoders.Fuse(),
            decoders.Replace(Regex(r"(?<=\w') "), ""),
            decoders.Replace(Regex(r" (?=[.,;:!?])"), ""),
        ]
    )


_DECODERS: Mapping[TokenizerKind, Callable[[], decoders.Decoder]] = MappingProxyType(
    {"characters": decoders.Fuse, "words": _word_decoder, "whitespace": _joined_by_blanks}
)
"""How tokens of symbols become text again."""
