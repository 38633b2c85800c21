"""State tokens: they come back as they went, in time, to the same model; everything else is refused by reason."""

import hmac
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import (
    ServiceError,
    StateTokenExpiredError,
    StateTokenInvalidError,
    StateTokenKeyError,
    StateTokenModelError,
    StateTokenNumericsError,
    StateTokenVersionError,
)
from service.state.keys import Key
from service.state.tokens import MOST_TOKEN_BYTES, VERSION, Origin, StateTokens
from tests.fakes import ManualClock

FIRST, SECOND = Key("first", b"1" * 32), Key("second", b"2" * 32)
ORIGIN = Origin("ab" * 32, "fp32/cpu/x86_64")
CONTENT = bytes(range(256)) * 3
LIFETIME = 60


def tokens(*keys: Key, clock: Callable[[], float] | None = None) -> StateTokens:
    return StateTokens(keys or (FIRST,), lifetime_seconds=LIFETIME, clock=clock or ManualClock())


def opened(by: StateTokens, token: bytes, origin: Origin = ORIGIN, *, allow_inexact: bool = False) -> bytes:
    return by.open(token, origin, field="state_token", allow_inexact=allow_inexact)


def refusal(by: StateTokens, token: bytes, origin: Origin = ORIGIN, *, allow_inexact: bool = False) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        opened(by, token, origin, allow_inexact=allow_inexact)
    assert refused.value.field == "state_token"
    assert "state_token" in refused.value.message
    return refused.value


@given(st.binary(max_size=2000))
def test_content_comes_back_as_it_went(content: bytes) -> None:
    assert opened(tokens(), tokens().issue(ORIGIN, content)) == content


def test_a_token_is_little_longer_than_its_content() -> None:
    assert len(tokens().issue(ORIGIN, CONTENT)) < len(CONTENT) + 150


def test_a_token_with_any_bit_flipped_is_refused() -> None:
    whole = tokens().issue(ORIGIN, CONTENT)
    reasons = set()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        reasons.add(type(refusal(tokens(), bytes(damaged), allow_inexact=True)))
    assert reasons == {StateTokenInvalidError, StateTokenVersionError, StateTokenKeyError}


def test_a_token_that_was_cut_or_that_goes_on_is_refused() -> None:
    whole = tokens().issue(ORIGIN, CONTENT)
    for length in range(len(whole)):
        for part in (whole[:length], whole[length + 1 :], whole[:length] + whole[length + 1 :]):
            refusal(tokens(), part)
    assert isinstance(refusal(tokens(), whole + b"\0"), StateTokenInvalidError)
    assert isinstance(refusal(tokens(), whole + whole), StateTokenInvalidError)


@given(st.binary(max_size=300))
def test_bytes_that_nobody_signed_are_refused(junk: bytes) -> None:
    for token in (junk, bytes([VERSION, 5]) + b"first" + junk):
        assert isinstance(
            refusal(tokens(), token), StateTokenInvalidError | StateTokenVersionError | StateTokenKeyError
        )


def test_a_token_larger_than_any_is_not_looked_into() -> None:
    assert "bytes, a state token has" in refusal(tokens(), b"\1" * (MOST_TOKEN_BYTES + 1)).message


def test_the_first_key_signs_and_all_verify() -> None:
    old, both, new = tokens(FIRST), tokens(SECOND, FIRST), tokens(SECOND)
    assert opened(both, old.issue(ORIGIN, CONTENT)) == CONTENT
    assert opened(new, both.issue(ORIGIN, CONTENT)) == CONTENT
    unknown = refusal(new, old.issue(ORIGIN, CONTENT))
    assert isinstance(unknown, StateTokenKeyError)
    assert "'first'" in unknown.message


def test_another_secret_under_the_same_id_is_refused() -> None:
    token = tokens(Key("first", b"9" * 32)).issue(ORIGIN, CONTENT)
    assert isinstance(refusal(tokens(FIRST), token), StateTokenInvalidError)


def test_a_signature_for_another_purpose_is_none() -> None:
    """What another service signs with the same secret, whatever it says, is no state token."""
    signed = tokens().issue(ORIGIN, CONTENT)[:-32]
    refused = refusal(tokens(), signed + hmac.digest(FIRST.secret, signed, "sha256"))
    assert isinstance(refused, StateTokenInvalidError)


def test_a_token_is_good_for_its_lifetime_and_no_longer() -> None:
    clock = ManualClock()
    mine = tokens(clock=clock)
    token = mine.issue(ORIGIN, CONTENT)
    clock.now += LIFETIME - 1
    assert opened(mine, token) == CONTENT
    clock.now += 4
    refused = refusal(mine, token)
    assert isinstance(refused, StateTokenExpiredError)
    assert refused.facts == {"expired_seconds": "3"}


def test_a_token_of_another_bundle_is_refused_whatever_is_allowed() -> None:
    refused = refusal(tokens(), tokens().issue(Origin("cd" * 32, ORIGIN.numerics_class), CONTENT), allow_inexact=True)
    assert isinstance(refused, StateTokenModelError)
    assert refused.facts == {"token_digest": "cd" * 32, "digest": "ab" * 32}


def test_a_token_of_another_numerics_class_is_refused_unless_inexact_is_allowed() -> None:
    token = tokens().issue(Origin(ORIGIN.digest, "int8/cpu/aarch64"), CONTENT)
    refused = refusal(tokens(), token)
    assert isinstance(refused, StateTokenNumericsError)
    assert refused.facts == {"token_numerics_class": "int8/cpu/aarch64", "numerics_class": "fp32/cpu/x86_64"}
    assert opened(tokens(), token, allow_inexact=True) == CONTENT


def test_a_token_of_another_version_is_refused_as_such() -> None:
    whole = tokens().issue(ORIGIN, CONTENT)
    refused = refusal(tokens(), bytes([VERSION + 1]) + whole[1:])
    assert isinstance(refused, StateTokenVersionError)
    assert refused.facts == {"version": str(VERSION + 1), "known_version": str(VERSION)}


@pytest.mark.parametrize("body", [[], ["x"], [b"", "", 0, 0, b"", 1], {}, 7], ids=repr)
def test_a_body_that_was_signed_and_is_none_is_refused(body: object) -> None:
    signed = bytes([VERSION, 5]) + b"first" + msgspec.msgpack.encode(body)
    signature = hmac.digest(FIRST.secret, b"seqserve state token\0" + signed, "sha256")
    assert "holds no state" in refusal(tokens(), signed + signature).message
