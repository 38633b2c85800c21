"""Checks tunes in ABC notation: do the bars add up to the metre?   Reads text; composes nothing.

Knows the part of the notation that one voice without ornaments needs: header fields, notes with accidentals, octaves
and durations, rests, bar lines. Source: the ABC standard 2.1, abcnotation.com/wiki/abc:standard:v2.1, section 4.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

_FIELD = re.compile(r"([A-Z]):\s*(\S.*)?")
_METRE = re.compile(r"([1-9]\d?)/(1|2|4|8|16)")
_KEY = re.compile(r"[A-G][#b]?m?")
_TOKEN = re.compile(
    r"(?P<bar>\|\]|\|\||\|:|:\||\|)|(?P<note>[_^=]*[A-Ga-gz][,']*)(?P<duration>\d*/*\d*)|(?P<blank>[ \n])"
)
_REQUIRED_FIELDS = ("M", "L", "K")


def validate_tune(abc: str) -> list[str]:
    """Say what is wrong with a tune; an empty list means nothing is.

    Right is: fields M (metre), L (unit length) and K (key) before the first note; every bar as long as the metre says;
    nothing but notes, rests and bar lines; a final bar line `|]` at the end, and nowhere else.
    """
    header, body = _split_header(abc)
    problems = [f"field {name} is missing" for name in _REQUIRED_FIELDS if name not in header]
    if problems:
        return problems
    bar_length, unit = _fraction(header["M"]), _fraction(header["L"])
    if bar_length is None or unit is None:
        return [f"field {name} is no fraction: {header[name]}" for name in "ML" if _fraction(header[name]) is None]
    if not _KEY.fullmatch(header["K"]):
        problems.append(f"field K is no key: {header['K']}")
    return [*problems, *_body_problems(body, bar_length, unit)]


def _split_header(abc: str) -> tuple[dict[str, str], str]:
    fields: dict[str, str] = {}
    lines = abc.split("\n")
    while lines and (match := _FIELD.fullmatch(lines[0])):
        fields[match[1]] = (match[2] or "").strip()
        lines.pop(0)
    return fields, "\n".join(lines)


def _body_problems(body: str, bar_length: Fraction, unit: Fraction) -> Iterator[str]:
    number, filled, position, ended = 1, Fraction(0), 0, False
    while position < len(body):
        match = _TOKEN.match(body, position)
        if match is None:
            yield f"bar {number}: unknown sign {body[position]!r}"
            position += 1
            continue
        position = match.end()
        if match["blank"]:
            continue
        if ended:
            yield "something follows the final bar line"
            return
        if match["note"]:
            filled += unit * _duration(match["duration"])
            continue
        if filled or match["bar"] in ("|", "|]"):
            if filled != bar_length:
                yield f"bar {number}: holds {filled} of {bar_length}"
            number, filled = number + 1, Fraction(0)
        ended = match["bar"] == "|]"
    if not ended:
        yield "the final bar line |] is missing"


def _duration(text: str) -> Fraction:
    """The factor behind a note: `3` is 3, `/` is 1/2, `//` is 1/4, `3/2` is 3/2, nothing is 1."""
    numerator, slash, denominator = text.partition("/")
    factor = Fraction(int(numerator or 1))
    if not slash:
        return factor
    halvings = len(denominator) - len(denominator.lstrip("/")) + 1
    digits = denominator.lstrip("/")
    return factor / (max(int(digits), 1) if digits else 2**halvings)


def _fraction(text: str) -> Fraction | None:
    match = _METRE.fullmatch(text)
    return Fraction(int(match[1]), int(match[2])) if match else None
