"""The API's promises: what is frozen stays, and every field says what it takes."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from seqserve.v1 import inference_service_pb2, model_service_pb2
from service.errors import BundleError, NotOfferedError, ServiceError, SettingsError, ShuttingDownError
from service.transport.status import CODE_BY_ERROR
from tests.trained import ROOT

FROZEN = ROOT / "proto" / "frozen" / "seqserve_v1.binpb"
BUF = Path(sys.executable).parent / "buf"
FILES = (inference_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR)
REASONS = {error.reason for error in CODE_BY_ERROR} | {ServiceError.reason}
MET_ELSEWHERE = {BundleError.reason, SettingsError.reason, NotOfferedError.reason, ShuttingDownError.reason}
"""By operators, and by callers of the Open Inference Protocol."""
NUMBERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_DOUBLE,
           FieldDescriptor.CPPTYPE_FLOAT}  # fmt: skip


def breaking(protos: Path) -> str:
    """What breaks clients in a folder of protos, compared with what is frozen."""
    command = [str(BUF), "breaking", str(protos), "--against", str(FROZEN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    return done.stdout


def test_the_api_keeps_what_is_frozen() -> None:
    assert breaking(ROOT / "proto") == ""


@pytest.mark.parametrize(
    ("line", "instead", "problem"),
    [
        pytest.param("int32 token_count = 2;", "", 'Previously present field "2"', id="removed"),
        pytest.param("int32 token_count = 2;", "int32 token_count = 7;", 'field "2"', id="renumbered"),
        pytest.param("int32 token_count = 2;", "int32 tokens = 2;", "changed name", id="renamed"),
        pytest.param("int32 token_count = 2;", "string token_count = 2;", "changed type", id="of another type"),
        pytest.param("rpc ClassifyText(", "rpc Classify(", "ClassifyText", id="method"),
    ],
)
def test_a_change_that_breaks_clients_is_refused(tmp_path: Path, line: str, instead: str, problem: str) -> None:
    assert problem in breaking(changed(tmp_path, line, instead))


def test_a_new_field_breaks_nobody(tmp_path: Path) -> None:
    added = "int32 token_count = 2;\n  // New.\n  string more = 900;"
    assert breaking(changed(tmp_path, "int32 token_count = 2;", added)) == ""


def changed(folder: Path, line: str, instead: str) -> Path:
    """A copy of the protos with the first such line changed."""
    protos = folder / "proto"
    shutil.copytree(ROOT / "proto", protos)
    path = protos / "seqserve" / "v1" / "inference_service.proto"
    text = path.read_text()
    assert line in text
    path.write_text(text.replace(line, instead, 1))
    return protos


def comments() -> dict[str, str]:
    """The meaning of every field, `Message.field`, as docs/api.md has it from the comments."""
    page = (ROOT / "docs" / "api.md").read_text()
    found: dict[str, str] = {}
    for section in re.split(r"^#{3,4} ", page, flags=re.MULTILINE)[1:]:
        name = section.split("\n", 1)[0]
        rows = re.findall(r"^\| `(\w+)` = \d+ \| [^|]+ \| (.+) \|$", section, re.MULTILINE)
        found |= {f"{name}.{field}": meaning for field, meaning in rows}
    return found


def messages() -> Iterator[Descriptor]:
    for file in FILES:
        yield from file.message_types_by_name.values()


def sent_by_clients() -> list[FieldDescriptor]:
    """Every field of every request, and of the messages within."""
    todo = [message for message in messages() if message.name.endswith("Request")]
    done: dict[str, list[FieldDescriptor]] = {}
    while todo:
        message = todo.pop()
        if message.full_name not in done:
            done[message.full_name] = list(message.fields)
            todo += [field.message_type for field in message.fields if field.message_type is not None]
            todo = [one for one in todo if not one.GetOptions().map_entry]
    return [field for fields in done.values() for field in fields]


def name_of(field: FieldDescriptor) -> str:
    return ".".join(field.full_name.split(".")[-2:])


COMMENTS = comments()
SENT = [pytest.param(field, id=name_of(field)) for field in sent_by_clients()]
NUMERIC = [name_of(field) for message in messages() for field in message.fields if field.cpp_type in NUMBERS]


@pytest.mark.parametrize("field", NUMERIC)
def test_a_number_says_its_range(field: str) -> None:
    assert re.search(r"\d| up\b|any finite", COMMENTS[field])


@pytest.mark.parametrize("field", SENT)
def test_what_clients_send_says_its_default_and_with_which_reason_it_is_refused(field: FieldDescriptor) -> None:
    comment = COMMENTS[name_of(field)]
    if field.type != FieldDescriptor.TYPE_BOOL:  # either value is taken
        assert REASONS & set(re.findall(r"[A-Z_]{2,}", comment)), comment
    if not field.is_repeated:
        assert re.search(r"Required\.|Unset|Empty means", comment), comment


def test_every_reason_that_callers_of_the_api_meet_is_named_in_the_protos() -> None:
    named = set(re.findall(r"[A-Z_]{2,}", (ROOT / "docs" / "api.md").read_text()))
    assert named >= REASONS - MET_ELSEWHERE
