"""The page: whole, readable without network or script, true to the evaluation, safe from what the data says."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from training.data.examples import AnySplits, LabelledText, PlainText, Splits
from training.errors import DataError, TrackingError
from training.reporting.findings import Findings
from training.reporting.report import write_report, write_whole

FindingsOf = Callable[..., Findings]
PageOf = Callable[[str], str]
Decode = Callable[[bytes], npt.NDArray[np.float32]]

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
ALWAYS = ["Run", "Scores", "Curves", "Lengths"]
CASES = [
    pytest.param("classification", ["Labels", "Calibration", "Mistakes"], 6, id="classification"),
    pytest.param("labelling", ["Labels", "Calibration", "Mistakes"], 6, id="labelling of words"),
    pytest.param("readings", ["Labels", "Calibration", "Mistakes"], 6, id="labelling of readings"),
    pytest.param("generation", ["Samples", "Loss by place"], 5, id="generation"),
    pytest.param("translation", ["Examples", "Attention", "BLEU by length"], 10, id="translation"),
]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser would see: elements closed in order, headings, pictures, cells of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.pictures: list[tuple[str, bytes]] = []
        self.headings: list[str] = []
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append(tag)
        self.addresses += [given[name] or "" for name in ("src", "href") if name in given]
        if tag == "img":
            prefix, _, data = (given["src"] or "").partition(",")
            assert prefix == "data:image/png;base64"
            self.pictures.append((given["alt"] or "", base64.b64decode(data)))
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("h2", "td"):
            (self.headings if tag == "h2" else self.cells).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag, texts in (("h2", self.headings), ("td", self.cells)):
            if self._open and self._open[-1] == tag:
                texts[-1] += data


@pytest.fixture(scope="session")
def page_of(findings_of: FindingsOf, tmp_path_factory: pytest.TempPathFactory) -> PageOf:
    """The text of a task's page, written once."""
    known: dict[str, str] = {}

    def page(task: str) -> str:
        if task not in known:
            known[task] = write_report(findings_of(task), tmp_path_factory.mktemp("run"), written=NOON).read_text()
        return known[task]

    return page


@pytest.mark.parametrize(("task", "sections", "picture_count"), CASES)
def test_every_section_and_every_picture_is_there(
    task: str, sections: list[str], picture_count: int, page_of: PageOf, decode_png: Decode
) -> None:
    page = Page(page_of(task))
    assert page.headings == [*ALWAYS, *sections, "Memory", "Recipe"]
    assert len(page.pictures) == picture_count
    for title, png in page.pictures:
        assert title
        assert decode_png(png)[..., :3].std() > 0.02, title


@pytest.mark.parametrize(("task", "_sections", "_pictures"), CASES)
def test_the_page_needs_no_network_and_no_script(
    task: str, _sections: list[str], _pictures: int, page_of: PageOf
) -> None:
    page = Page(page_of(task))
    assert not {"script", "link", "iframe", "object"} & set(page.elements)
    assert {address.partition(",")[0] for address in page.addresses if not address.startswith("#")} == {
        "data:image/png;base64"
    }


@pytest.mark.parametrize(("task", "_sections", "_pictures"), CASES)
def test_the_scores_are_those_of_the_evaluation(
    task: str, _sections: list[str], _pictures: int, page_of: PageOf, findings_of: FindingsOf
) -> None:
    findings, cells = findings_of(task), Page(page_of(task)).cells
    found = findings.evaluation
    for score in (found.score, *found.further, found.baseline, *found.other_baselines):
        place = cells.index(score.name)
        assert cells[place + 2 : place + 4] == [score.shown, score.method]


@pytest.mark.parametrize(("task", "_sections", "_pictures"), CASES)
def test_the_same_findings_give_the_same_bytes_but_for_the_time(
    task: str, _sections: list[str], _pictures: int, page_of: PageOf, findings_of: FindingsOf, tmp_path: Path
) -> None:
    later = NOON.replace(hour=13)
    (tmp_path / "report.html").write_text("of an earlier day")
    again = write_report(findings_of(task), tmp_path, written=later).read_text()
    assert again != page_of(task)
    assert again.replace(later.isoformat(), NOON.isoformat()) == page_of(task)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("cell", "signals"),
    [
        ("lstm", ["forget gate", "input gate", "output gate", "change of the cell state"]),
        ("gru", ["reset gate", "update gate", "change of the hidden state"]),
        ("rnn", ["change of the hidden state"]),
    ],
)
def test_the_memory_of_each_cell_is_shown_over_the_tokens_that_were_asked_for(
    cell: str, signals: list[str], findings_of: FindingsOf, tmp_path: Path
) -> None:
    text = write_report(findings_of("classification", cell), tmp_path, written=NOON, example="the plot").read_text()
    memory = text.partition('id="memory"')[2].partition("</section>")[0]
    means = memory.partition("layer 1: means over units")[2]
    headings = re.findall(r'<th scope="col">(.*?)</th>', means)
    assert headings == ["token", *signals]
    assert re.findall(r"<tr><td>(.*?)</td>", means) == ["the", "plot"]


def test_every_layer_and_direction_has_a_heading_and_two_pictures(
    train_tiny: FindingsOf, tiny_splits: Mapping[str, AnySplits], tmp_path: Path
) -> None:
    model = {"cell": "gru", "layers": 2, "bidirectional": True}
    findings = train_tiny("translation", tiny_splits["translation"], model=model)
    text = write_report(findings, tmp_path, written=NOON).read_text()
    expected = [
        *(f"encoder, layer {layer}, {reading}" for layer in (1, 2) for reading in ("forwards", "backwards")),
        *(f"decoder, layer {layer}" for layer in (1, 2)),
    ]
    assert re.findall("<h3>(.*?)</h3>", text) == expected
    pictures = [title for title, _ in Page(text).pictures]
    for title in expected:
        assert {f"{title}: gates and states, by unit", f"{title}: gates and states, on average"} <= set(pictures)


def test_what_the_data_says_is_text_and_never_markup(train_tiny: FindingsOf, tmp_path: Path) -> None:
    bad, good = "<script>alert(1)</script>", 'fine" onload="x'
    examples = [LabelledText(f"</td><img src=x> {word}", label) for word in "abc" for label in (bad, good)]
    splits = Splits(tuple(examples), tuple(examples[:2]), tuple(examples[2:]))
    findings = train_tiny("classification", splits)
    page = Page(
        write_report(findings, tmp_path, written=NOON).read_text()
    )  # which fails on an <img> without alt and data
    assert "script" not in page.elements
    assert bad in page.cells
    assert good in page.cells


def test_the_recipe_is_there_with_every_default(page_of: PageOf, findings_of: FindingsOf) -> None:
    shown = re.findall(r"<pre>(.*?)</pre>", page_of("generation"), re.DOTALL)[-1].replace("&#34;", '"')
    assert json.loads(shown) == json.loads(findings_of("generation").recipe.model_dump_json())


def test_a_translator_without_attention_says_so(
    train_tiny: FindingsOf, findings_of: FindingsOf, tmp_path: Path
) -> None:
    page = write_report(train_tiny("translation", findings_of("translation").splits), tmp_path, written=NOON)
    assert "This model has no attention" in page.read_text()


def test_texts_of_any_length_are_reported_when_a_recipe_reads_windows(train_tiny: FindingsOf, tmp_path: Path) -> None:
    texts = tuple(PlainText("the cat sat on the mat. " * count) for count in (400, 40, 1500))
    windows = {"token_count": 16}
    findings = train_tiny("generation", Splits(texts[:1], texts[1:2], texts[2:]), windows=windows)
    text = write_report(findings, tmp_path, written=NOON).read_text()
    lengths = text.partition('id="lengths"')[2].partition("</section>")[0]
    assert "none is too long" in lengths
    assert f"<td>{len(texts[2].text) + 2:,}</td>" in lengths
    assert Page(text).headings == [*ALWAYS, "Samples", "Loss by place", "Memory", "Recipe"]


def test_an_example_without_tokens_is_refused_and_leaves_no_file(findings_of: FindingsOf, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        write_report(findings_of("classification"), tmp_path, written=NOON, example="")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_the_report_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("of an earlier day")
    (tmp_path / ".report.html").symlink_to("/dev/full")
    with pytest.raises(TrackingError, match=r"^\S+/report\.html: cannot be written: No space left on device$"):
        write_whole(tmp_path / "report.html", b"new")
    assert (tmp_path / "report.html").read_text() == "of an earlier day"
