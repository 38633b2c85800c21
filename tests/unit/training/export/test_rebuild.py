"""Export from a bundle alone: the same graphs byte for byte, other variants, and what stands in the way in one line."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from service.bundle.store import OpenedBundle, file_entry, open_bundle, publish_bundle
from service.errors import BundleError
from service.runtime.models import load_model
from tests.run_record import run_record
from training.data.examples import AnySplits
from training.errors import ExportError
from training.evaluation.evaluate import evaluate_variants
from training.export.bundle import draft_bundle, is_published
from training.export.card import TERMS, write_card
from training.export.rebuild import parse_precisions, publish_rebuilt
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
Publish = Callable[..., Path]
RUN = "a" * 64
CARD = "MODEL_CARD.md"
VARIETIES = [
    pytest.param("classification", {"dropout": 0.3}, id="classifier"),
    pytest.param("classification", {"bidirectional": True, "cell": "gru", "layers": 2}, id="classifier, both"),
    pytest.param("labelling", {"bidirectional": True}, id="labeller of words, both"),
    pytest.param("readings", {"cell": "gru", "layers": 2}, id="labeller of readings"),
    pytest.param("generation", {"cell": "gru", "tie_weights": True}, id="language model, tied"),
    pytest.param("translation", {"cell": "rnn"}, id="translator without attention"),
    pytest.param(
        "translation", {"attention": "additive", "bidirectional": True, "tie_weights": True}, id="translator, additive"
    ),
    pytest.param(
        "translation",
        {
            "layers": 3,
            "residual": True,
            "layer_norm": True,
            "attention": "dot",
            "bidirectional": True,
            "input_feeding": True,
            "scale_embeddings": True,
            "tie_weights": True,
            "share_embeddings": True,
        },
        id="translator, all options",
    ),
]


@pytest.fixture
def publish(make_recipe: MakeRecipe, tiny_splits: Tiny, tmp_path: Path) -> Publish:
    """Publishes an untrained model as a run would; returns the folder."""

    def make(task: str, model: Mapping[str, object] | None = None, **export: object) -> Path:
        wanted = {"precisions": ["fp32", "int8"], "weights": "fp32"} | export
        model = model or {}
        one = {"tokenizer": {"kind": "words"}} if model.get("share_embeddings") else None
        recipe, splits = make_recipe(task, tokenizers=one, model=model, export=wanted), tiny_splits[task]
        draft = draft_bundle(prepare(recipe, splits), run_sha256=RUN)
        card = write_card(draft, run_record(recipe, splits), evaluate_variants(draft.opened(), splits))
        return draft.publish(card, tmp_path / "models")

    return make


def same_files(one: OpenedBundle, other: OpenedBundle) -> bool:
    """Whether everything but the card is the same, weights included."""
    return {name: entry for name, entry in one.manifest.files.items() if name != CARD} == {
        name: entry for name, entry in other.manifest.files.items() if name != CARD
    }


@pytest.mark.parametrize("weights", ["fp32", "fp16"])
@pytest.mark.parametrize(("task", "model"), VARIETIES)
def test_what_is_rebuilt_is_what_was_published_byte_for_byte(
    publish: Publish, tmp_path: Path, task: str, model: Mapping[str, object], weights: str
) -> None:
    old = open_bundle(publish(task, model, precisions=["fp32", "int8", "fp16"], weights=weights))
    new = open_bundle(publish_rebuilt(old.path, tmp_path / "other"))
    assert same_files(old, new)
    assert new.manifest.model_copy(update={"files": {}, "created_time": ""}) == old.manifest.model_copy(
        update={"files": {}, "created_time": ""}
    )
    again = open_bundle(publish_rebuilt(new.path, tmp_path / "models", version=2))
    assert same_files(old, again)


def test_other_variants_are_made_of_the_same_weights(publish: Publish, tmp_path: Path) -> None:
    """What is published in int8 becomes fp32 and fp16 elsewhere."""
    all_at_once = open_bundle(publish("translation", precisions=["int8", "fp16", "fp32"], weights="fp16"))
    small = open_bundle(publish_rebuilt(all_at_once.path, tmp_path / "small", precisions=["int8"]))
    assert (list(small.manifest.variants), small.manifest.default_precision) == (["int8"], "int8")
    whole = open_bundle(publish_rebuilt(small.path, tmp_path / "models", precisions=["fp32", "fp16"], version=7))
    assert (whole.path.name, whole.manifest.version, whole.manifest.default_precision) == ("7", 7, "fp32")
    for file in ("decoder_step.fp32.onnx", "decoder_step.fp16.onnx", "golden.fp32.npz"):
        assert whole.files[file] == all_at_once.files[file]
    assert load_model(whole).precision == "fp32"


def test_the_opset_stays(publish: Publish, tmp_path: Path) -> None:
    old = open_bundle(publish("classification", opset=19))
    new = open_bundle(publish_rebuilt(old.path, tmp_path / "other", precisions=["fp32"]))
    assert new.manifest.variants["fp32"].graphs["classifier"].opset == 19
    assert new.files["classifier.fp32.onnx"] == old.files["classifier.fp32.onnx"]


def test_neither_run_nor_data_is_needed(publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carried = shutil.copytree(publish("generation").parent, tmp_path / "elsewhere" / "tiny-generation")
    shutil.rmtree(tmp_path / "models")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert publish_rebuilt(carried / "1", tmp_path / "models").is_dir()


def test_the_card_says_what_is_of_the_old_bundle(publish: Publish, tmp_path: Path) -> None:
    old = open_bundle(publish("classification", weights="fp16"))
    new = open_bundle(publish_rebuilt(old.path, tmp_path / "other", precisions=["fp32", "fp16"], version=2))
    card, before = new.files[CARD].decode(), old.files[CARD].decode()
    assert card.startswith("# tiny-classification 2\n\nMany to one")
    assert f"- From the weights in tiny-classification@1, SHA-256 of its manifest `{old.digest}`" in card
    assert "- Not measured: fp16" in card
    assert "## Scores of tiny-classification@1\n" in card
    assert card.count("## Variants") == 1
    assert "| fp16 | " in card.partition("## Variants")[2].partition("## ")[0]
    assert "every variant is of the rounded weights" in card
    for section in ("Data", "Training", "Limits", "Recipe"):
        text = before.partition(f"## {section}\n")[2].partition("\n\n## ")[0]
        assert text
        assert f"## {section}\n{text}" in card


def test_the_card_of_what_was_exported_twice_names_the_bundle_that_was_measured(
    publish: Publish, tmp_path: Path
) -> None:
    once = publish_rebuilt(publish("classification"), tmp_path / "other", precisions=["fp32", "fp16"], version=2)
    card = (publish_rebuilt(once, tmp_path / "third", precisions=["fp16"], version=3) / CARD).read_text()
    assert card.count("## Exported anew\n") == 2
    assert card.count("scores and failures below are those of tiny-classification@1\n") == 2
    assert card.count("- Not measured: fp16\n") == 2
    assert card.count("## Scores of tiny-classification@1\n") == 1


def test_the_card_of_the_same_graphs_keeps_its_scores_and_words_the_rest_anew(publish: Publish, tmp_path: Path) -> None:
    bundle = open_bundle(publish("classification", weights="fp16"))
    before = bundle.files[CARD].decode()
    older = before.replace("`tiny`: origin not recorded", "`tiny`: old words").replace(f"## {TERMS}", "## Terms")
    older = re.sub(r"(?<=## Limits\n\n).*", "None.", older)
    (tmp_path / "older").mkdir()
    folder = with_files(bundle, {CARD: older.encode()}, tmp_path / "older")
    assert (publish_rebuilt(folder, tmp_path / "newer") / CARD).read_text() == before


def test_the_card_keeps_what_the_recipe_notes(publish: Publish, tmp_path: Path) -> None:
    bundle = open_bundle(publish("classification", weights="fp16"))
    before = bundle.files[CARD].decode()
    noted = before.replace('"reported": []', '"reported": [],\n    "notes": [\n      "Ask so."\n    ]')
    (tmp_path / "older").mkdir()
    folder = with_files(bundle, {CARD: noted.encode()}, tmp_path / "older")
    limits = (publish_rebuilt(folder, tmp_path / "newer") / CARD).read_text().partition("## Limits\n")[2]
    assert limits.partition("\n\n## ")[0].endswith("\n\nAsk so.")


def test_a_card_that_says_nothing_of_licences_is_given_a_section_of_them(publish: Publish, tmp_path: Path) -> None:
    bundle = open_bundle(publish("classification", weights="fp16"))
    before = bundle.files[CARD].decode()
    silent = re.sub(rf"## {TERMS}\n.*?(?=## )", "", before, flags=re.DOTALL)
    assert TERMS not in silent
    (tmp_path / "silent").mkdir()
    folder = with_files(bundle, {CARD: silent.encode()}, tmp_path / "silent")
    assert (publish_rebuilt(folder, tmp_path / "newer") / CARD).read_text() == before


def test_a_bundle_is_published_once_per_settings(publish: Publish, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    publish("classification")
    export = {"precisions": ["int8", "fp32"], "weights": "fp32"}
    assert is_published(make_recipe("classification", export=export), tmp_path / "models", run_sha256=RUN)
    for other in ({"weights": "fp16"}, {"weights": "none"}, {"opset": 18}):
        with pytest.raises(ExportError, match=r"was exported with .*, \[export\] wants .*; remove it"):
            is_published(make_recipe("classification", export=export | other), tmp_path / "models", run_sha256=RUN)


def test_a_version_that_is_there_is_in_the_way(publish: Publish, tmp_path: Path) -> None:
    folder = publish("classification")
    with pytest.raises(ExportError, match=r"cannot publish tiny-classification 1: .* exists already"):
        publish_rebuilt(folder, tmp_path / "models")


def test_a_bundle_without_weights_is_refused(publish: Publish, tmp_path: Path) -> None:
    folder = publish("classification", weights="none")
    with pytest.raises(ExportError, match=rf"^{folder}: has no weights.safetensors; a bundle gets them by weights = "):
        publish_rebuilt(folder, tmp_path / "other")


def test_a_bundle_whose_weights_have_another_hash_is_refused(publish: Publish, tmp_path: Path) -> None:
    folder = publish("classification")
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"^weights.safetensors: sha256 is"):
        publish_rebuilt(folder, tmp_path / "other")


def with_weights(folder: Path, raw: bytes, repository: Path) -> Path:
    """The bundle with other weights under a right hash."""
    return with_files(open_bundle(folder), {"weights.safetensors": raw}, repository)


def with_files(bundle: OpenedBundle, others: Mapping[str, bytes], repository: Path) -> Path:
    """The bundle with other files under right hashes."""
    files = {name: (bundle.path / name).read_bytes() for name in bundle.manifest.files} | dict(others)
    entries = {name: file_entry(data) for name, data in files.items()}
    return publish_bundle(repository, bundle.manifest.model_copy(update={"files": entries}), files)


def test_weights_of_another_bundle_are_refused(publish: Publish, tmp_path: Path) -> None:
    other = (publish("generation") / "weights.safetensors").read_bytes()
    (tmp_path / "mixed").mkdir()
    folder = with_weights(publish("classification"), other, tmp_path / "mixed")
    with pytest.raises(ExportError, match="the weights are of another task or other sizes than the manifest's spec"):
        publish_rebuilt(folder, tmp_path / "other")


def test_weights_that_say_nothing_of_themselves_are_refused(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    folder = with_weights(publish("classification"), save({"x": torch.zeros(1)}), tmp_path / "mixed")
    with pytest.raises(ExportError, match="its metadata has no entry seqserve"):
        publish_rebuilt(folder, tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("fp32,fp8", "precision 'fp8' is unknown: expected some of fp32,int8,fp16", id="unknown"),
        pytest.param("", "precision '' is unknown", id="none"),
        pytest.param("int8, int8", "precision 'int8' is named twice", id="twice"),
    ],
)
def test_precisions_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        parse_precisions(text)


def test_precisions_are_split_at_commas() -> None:
    assert parse_precisions("fp32, int8,fp16") == ["fp32", "int8", "fp16"]
