"""Readers of real corpora, from the folder that holds each in a folder of its own.   Knows file formats; no tokens.

None of these files is part of the project: `SEQSERVE_DATA` names the folder where a user keeps them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from training.data.corpora.music import read_folk_abc, read_irish_abc, read_nottingham_abc
from training.data.corpora.names import read_names
from training.data.corpora.pairs import Multi30k, read_manythings_ita_eng, read_manythings_ita_eng_typed
from training.data.corpora.reviews import (
    ImdbText,
    read_imdb,
    read_imdb_and_phrases,
    read_sst2_glue,
    read_sst2_stsa,
    read_sst2_text,
)
from training.data.corpora.tags import read_ud_english_ewt, read_wnut17
from training.data.corpora.texts import read_ptb, read_tinyshakespeare
from training.data.corpora.weather import read_weather_aus
from training.data.examples import AnySplits
from training.data.splitting import normalise_sentence

__all__ = ["CORPORA", "folder_of", "normalise_sentence", "read_manythings_ita_eng", "read_sst2_stsa"]

CORPORA: Mapping[str, Callable[[Path], AnySplits]] = MappingProxyType(
    {
        "folk-abc": read_folk_abc,
        "imdb": read_imdb,
        "imdb-and-phrases": read_imdb_and_phrases,
        "imdb-text": ImdbText(unlabelled=False),
        "imdb-text-unsup": ImdbText(unlabelled=True),
        "irish-abc": read_irish_abc,
        "manythings-ita-eng": read_manythings_ita_eng,
        "manythings-ita-eng-typed": read_manythings_ita_eng_typed,
        "multi30k-en-de": Multi30k(tokenized=False, test="test_2016_flickr"),
        "multi30k-en-de-2017": Multi30k(tokenized=False, test="test_2017_flickr"),
        "multi30k-en-de-tok": Multi30k(tokenized=True, test="test_2016_flickr"),
        "multi30k-en-de-tok-2017": Multi30k(tokenized=True, test="test_2017_flickr"),
        "names": read_names,
        "nottingham-abc": read_nottingham_abc,
        "ptb": read_ptb,
        "sst2-glue": read_sst2_glue,
        "sst2-stsa": read_sst2_stsa,
        "sst2-text": read_sst2_text,
        "tinyshakespeare": read_tinyshakespeare,
        "ud-english-ewt": read_ud_english_ewt,
        "weather-aus": read_weather_aus,
        "wnut17": read_wnut17,
    }
)
"""Reader of each corpus, by the name that recipes use."""


_FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "folk-abc": ".",
        "imdb-and-phrases": ".",
        "imdb-text": "imdb",
        "imdb-text-unsup": "imdb",
        "manythings-ita-eng-typed": "manythings-ita-eng",
        "sst2-text": "sst2-stsa",
    }
    | {name: "multi30k" for name in CORPORA if name.startswith("multi30k-")}
)


def folder_of(name: str) -> str:
    """Name of the folder that a corpus is read from.

    It is the corpus' own, or the one it shares with other views of its files; `.` if it is made of other corpora.
    """
    return _FOLDERS.get(name, name)
