"""Key files: what is read, what is refused, and that no secret is ever told."""

import re
import stat
import tempfile
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.state.keys import Key, copied_key_file, ephemeral_key_file, new_key_line, read_keys

SECRET, OTHER = "ab" * 32, "0C" * 40


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "state-keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def problem(path: Path) -> str:
    with pytest.raises(SettingsError) as refused:
        read_keys(path)
    assert refused.value.message.startswith(f"state_keys: {path} ")
    assert not re.search("[0-9a-fA-F]{20}", refused.value.message.replace(str(path), "")), "a secret is told"
    return refused.value.message


def test_keys_are_read_in_order_without_comments_and_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, f"# ours\n\n  2026-08\t{SECRET}  \r\nold.1_x {OTHER}")
    assert read_keys(path) == (Key("2026-08", b"\xab" * 32), Key("old.1_x", b"\x0c" * 40))


def test_a_key_does_not_show_its_secret() -> None:
    assert repr(Key("a", b"secret")) == "Key(id='a')"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "holds no key; expected lines of an id", id="empty"),
        pytest.param("# 2026 " + SECRET, "holds no key", id="a comment alone"),
        pytest.param(f"a {SECRET}\nb", "line 2 is no key; expected an id (1 to 32", id="no secret"),
        pytest.param(f"a {SECRET} c", "line 1 is no key", id="three words"),
        pytest.param(f"a {SECRET[:-2]}", "line 1 is no key", id="31 bytes"),
        pytest.param(f"a {'ab' * 129}", "line 1 is no key", id="129 bytes"),
        pytest.param(f"a {SECRET}f", "line 1 is no key", id="half a byte"),
        pytest.param(f"a {SECRET[:-2]}xy", "line 1 is no key", id="not hexadecimal"),
        pytest.param(f"{'a' * 33} {SECRET}", "line 1 is no key", id="a long id"),
        pytest.param(f"\N{SNOWMAN} {SECRET}", "line 1 is no key", id="an id that is not ASCII"),
        pytest.param(f"a {SECRET}\nb {OTHER}\na {OTHER}", "line 3: the id a stands on a line above", id="twice"),
        pytest.param("#" * 65_537, "has more than 65536 bytes", id="large"),
    ],
)
def test_a_malformed_file_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in problem(written(tmp_path, text))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o601])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    assert f"may be read or changed by others (mode {mode:o}): chmod 640" in problem(
        written(tmp_path, f"a {SECRET}", mode)
    )


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_a_file_for_owner_and_group_is_taken(tmp_path: Path, mode: int) -> None:
    assert read_keys(written(tmp_path, f"a {SECRET}", mode))


def test_a_file_that_is_missing_or_none_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in problem(tmp_path / "missing")
    assert "is no file" in problem(tmp_path)


def test_a_new_line_is_a_key_of_its_own(tmp_path: Path) -> None:
    first, second = read_keys(written(tmp_path, new_key_line("a") + new_key_line("b")))
    assert (first.id, second.id, len(first.secret)) == ("a", "b", 32)
    assert first.secret != second.secret


def test_a_copy_keeps_the_keys_for_this_user_alone_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, f"# ours\n2026-08 {SECRET}\nold {OTHER}", 0o440)
    keys = read_keys(path)
    with copied_key_file(path) as copy:
        path.unlink()
        assert read_keys(copy) == keys
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert not copy.parent.exists()


def test_an_ephemeral_key_without_a_folder_for_it_is_a_setting_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match="ephemeral_state_key: no temporary file can be"), ephemeral_key_file():
        pass


def test_an_ephemeral_key_is_this_users_alone_and_gone_in_the_end() -> None:
    with ephemeral_key_file() as path, ephemeral_key_file() as other:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {key.secret for key in read_keys(path)}.isdisjoint(key.secret for key in read_keys(other))
    assert not path.parent.exists()
