"""The cache of answers against a plain list."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.call.answers import AnswerCache, key
from understudy.protocols.chat import (
    ChatReply,
    ChatRequest,
    Document,
    Finish,
    Message,
    ResponseFormat,
    Text,
    Tool,
    Usage,
)

REQUEST = ChatRequest("m", (Message("user", (Text("hello"),)),))


def reply(text: str, finish: Finish = "stop") -> ChatReply:
    return ChatReply(text, "m", Usage(), finish)


def size(text: str) -> int:
    cache = AnswerCache(10**6)
    cache.put(b"k", reply(text), ttl_s=1, stale_s=0, now=0)
    return cache.size


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "stale"]),
        st.sampled_from([b"a", b"b", b"c", b"d", b"e"]),
        st.sampled_from(["", "x" * 100, "y" * 900, "z" * 5_000]),
        st.sampled_from([0.0, 0.5, 3.0, 20.0]),
    ),
    max_size=60,
)


@given(steps, st.integers(100, 4_000))
def test_does_what_a_plain_list_does(history: list[tuple[str, bytes, str, float]], most: int) -> None:
    """Fresh for 10 s, able to stand in for 20 s more, least recently used first out, and never too many bytes."""
    cache, now = AnswerCache(most), 100.0
    naive: list[tuple[bytes, str, float]] = []  # key, text, when it was put; the last used is last
    for what, name, text, gap in history:
        now += gap
        if what == "put":
            cache.put(name, reply(text), ttl_s=10, stale_s=20, now=now)
            naive = [one for one in naive if one[0] != name]
            if size(text) <= most:
                naive.append((name, text, now))
            while sum(size(one[1]) for one in naive) > most:
                naive.pop(0)
        else:
            found = cache.get(name, now=now, stale=what == "stale")
            naive = [one for one in naive if one[0] != name or now < one[2] + 30]
            known = [one for one in naive if one[0] == name and (what == "stale" or now < one[2] + 10)]
            assert (found.text if found else None) == (known[0][1] if known else None)
            naive = [one for one in naive if one not in known] + known
        assert cache.size == sum(size(one[1]) for one in naive) <= most
        assert len(cache) == len(naive)


@pytest.mark.parametrize("finish", ["length", "filtered"])
def test_only_whole_answers_are_kept(finish: Finish) -> None:
    """An answer that was cut or withheld is not kept, and doesn't take the place of a whole one."""
    cache = AnswerCache(10**6)
    cache.put(b"k", reply("part", finish), ttl_s=10, stale_s=10, now=0)
    assert cache.get(b"k", now=1) is None
    cache.put(b"k", reply("whole", "tool_calls"), ttl_s=10, stale_s=10, now=1)
    cache.put(b"k", reply("part", finish), ttl_s=10, stale_s=10, now=2)
    assert cache.get(b"k", now=3) == reply("whole", "tool_calls")


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": (Message("system", (Text("hello"),)),)},
        {"messages": (Message("user", (Document("hello", ""),)),)},
        {"messages": (Message("user", (Text("hel"), Text("lo"))),)},
        {"max_tokens": 7},
        {"temperature": 0.0},
        {"seed": 1},
        {"stop": ("x",)},
        {"top_p": 0.5},
        {"tools": (Tool("t"),)},
        {"tool_choice": "none"},
        {"response_format": ResponseFormat()},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_key_is_of_all_that_is_asked(changed: dict[str, Any]) -> None:
    """Each field of a request changes its key."""
    assert key(msgspec.structs.replace(REQUEST, **changed), "m") != key(REQUEST, "m")


def test_the_key_names_the_route_and_is_the_same_everywhere() -> None:
    """The route counts and the request's own name of it doesn't; the bytes are written down here."""
    assert key(msgspec.structs.replace(REQUEST, model="alias"), "m") == key(REQUEST, "m") != key(REQUEST, "n")
    assert key(REQUEST, "m").hex() == "1d8421f423a947c0eef99848419666e3"


def test_every_field_is_tried() -> None:
    """A field that is added to a request has to be added to the list above."""
    assert {field.name for field in msgspec.structs.fields(ChatRequest)} == {
        "model",
        "messages",
        "max_tokens",
        "temperature",
        "seed",
        "stop",
        "top_p",
        "tools",
        "tool_choice",
        "response_format",
    }
