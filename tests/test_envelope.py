"""Envelopes cross the wire unchanged, whatever they carry."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.envelope import Envelope, ids, pack, unpack
from understudy.protocols.messages import Done, ItemDone, LeaseAsk, Message, Payload, Results, Slice, Spent

TYPES = get_args(Payload)

spents = st.builds(
    Spent,
    age_s=st.floats(0, 100),
    took_s=st.floats(0, 100),
    reserved=st.integers(0, 1 << 40),
    tokens=st.integers(0, 1 << 40),
    outcome=st.sampled_from(["ok", "cancelled", "rate_limited", "quota_impossible"]),
    stale=st.booleans(),
)
payloads = (
    st.sampled_from([kind for kind in TYPES if kind is not Slice]).flatmap(st.from_type)
    # By hand: hypothesis takes the factory of a mapping's default for the default itself.
    | st.builds(
        Slice,
        job=st.text(),
        block=st.integers(0, 99),
        start=st.integers(0, 99),
        stop=st.integers(0, 99),
        states=st.dictionaries(st.integers(0, 99), st.binary()),
    )
    | st.builds(
        LeaseAsk, number=st.integers(0, 99), spent=st.lists(spents, max_size=5).map(tuple), sizes=st.just((1, 2))
    )
    | st.builds(
        Results, job=st.text(), done=st.lists(st.builds(ItemDone, item=st.integers(0, 99), data=st.binary())).map(tuple)
    )
)


def safe(envelope: Envelope) -> bool:
    """MessagePack holds integers of 64 bits; a hypothesis of larger ones is none."""
    try:
        pack([envelope])
    except OverflowError:
        return False
    return True


envelopes = st.builds(
    Envelope,
    id=st.text(),
    sender=st.text(),
    payload=payloads,
    cause=st.text(),
    job=st.text(),
    priority=st.integers(-9, 9),
    deadline=st.none() | st.floats(0, 1e6),
    traceparent=st.text(),
    answer=st.booleans(),
).filter(safe)


def plain(batch: list[Envelope]) -> str:
    """As text: a NaN in a payload is then equal to itself."""
    return repr(batch)


@given(st.lists(envelopes, max_size=4))
def test_what_is_packed_comes_out(batch: list[Envelope]) -> None:
    """A batch of any messages is the same after the wire, in the same order."""
    assert plain(unpack(pack(batch))) == plain(batch)


def test_every_message_type_is_a_payload() -> None:
    """A message that is not in the union could be sent and never read."""
    assert set(Message.__subclasses__()) == set(TYPES)


def test_every_message_is_frozen() -> None:
    """What was said can't be changed by who hears it."""
    for kind in TYPES:
        assert kind.__struct_config__.frozen


@pytest.mark.parametrize("data", [b"", b"\x90\x90", b"\x91\x93\xa1a\xa1b\x81\xa4type\xa7Unknown", b"nonsense"])
def test_another_version_is_refused(data: bytes) -> None:
    """Bytes of another version raise an error of the decoder's tree and nothing else."""
    with pytest.raises(msgspec.MsgspecError):
        unpack(data)


def test_ids_are_unique_and_kinds_are_names() -> None:
    """Ids count up; a kind is the payload's class name."""
    numbers = ids("me")
    assert [next(numbers), next(numbers)] == ["me-1", "me-2"]
    assert Envelope("i", "s", Done()).kind == "Done"
