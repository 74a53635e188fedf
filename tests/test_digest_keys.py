"""What answers are known by: all that changes an answer changes its key, and nothing else does."""

from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.embedded import answer
from understudy.protocols.config import Account, Candidate, Config, Limits, Price, Route
from understudy.protocols.digest import Chunk
from understudy.supervisors.digest.keys import _EXTRACTION, SIZE, Asked, bases, chunk_key, node_key
from understudy.supervisors.digest.prompts import map_request

SIM = Account(base_url="http://localhost:1/v1")
ROUTE = Route(candidates=(Candidate(account="sim", model="m"), Candidate(account="embedded", model="extractive")))
ASKED = Asked("maps", "merges", 600, 900, 12_000, "")
CHUNK = Chunk("a/b.py", 2, 3, 10, 20, 7, "python", "x = 1\n")


def config(account: Account = SIM, route: Route = ROUTE) -> Config:
    return Config(accounts={"sim": account}, models={"maps": route, "merges": ROUTE, "other": ROUTE})


OURS = bases(config(), ASKED)


@pytest.mark.parametrize(
    "other",
    [
        Asked("other", "merges", 600, 900, 12_000, ""),
        Asked("maps", "merges", 601, 900, 12_000, ""),
        Asked("maps", "merges", 600, 900, 12_000, "Why?"),
        Asked("maps", "merges", 600, 900, 12_000, "", "acme"),
    ],
)
def test_what_is_asked_is_in_a_chunks_key(other: Asked) -> None:
    """Another route, another length, a question or another tenant make another key."""
    assert bases(config(), other).chunk != OURS.chunk


@pytest.mark.parametrize(
    "other",
    [
        Asked("maps", "other", 600, 900, 12_000, ""),
        Asked("maps", "merges", 600, 901, 12_000, ""),
        Asked("maps", "merges", 600, 900, 12_001, ""),
        Asked("maps", "merges", 600, 900, 12_000, "Why?"),
        Asked("maps", "merges", 600, 900, 12_000, "", "acme"),
    ],
)
def test_what_is_asked_is_in_a_nodes_key(other: Asked) -> None:
    """So they do for merges; what maps alone are told is in none of them."""
    assert bases(config(), other).node != OURS.node
    assert bases(config(), msgspec.structs.replace(ASKED, map_answer=7)).node == OURS.node
    assert bases(config(), msgspec.structs.replace(ASKED, reduce_budget=7)).chunk == OURS.chunk


@pytest.mark.parametrize(
    ("account", "route"),
    [
        (Account(kind="anthropic", base_url=SIM.base_url), ROUTE),
        (Account(base_url="http://localhost:2/v1"), ROUTE),
        (SIM, Route(candidates=(Candidate(account="sim", model="n"), ROUTE.candidates[1]))),
        (SIM, Route(candidates=ROUTE.candidates[::-1])),
        (SIM, Route(candidates=ROUTE.candidates[:1])),
        (SIM, Route(candidates=(Candidate(account="sim", model="m", max_output=5), ROUTE.candidates[1]))),
        (SIM, Route(candidates=(Candidate(account="sim", model="m", window=5_000), ROUTE.candidates[1]))),
        (SIM, Route(candidates=ROUTE.candidates, overflow="summarise")),
        (SIM, Route(candidates=ROUTE.candidates, filtered="rephrase")),
    ],
)
def test_who_answers_is_in_the_key(account: Account, route: Route) -> None:
    """Another server or model, another order, and what is done to a request before it is sent."""
    assert bases(config(account, route), ASKED).chunk != OURS.chunk


def test_what_changes_no_answer_is_in_no_key() -> None:
    """Prices, quotas, keys and shares of the load are the same question to the same model."""
    account = Account(base_url=SIM.base_url, api_key="${KEY}", limits=Limits(rpm=5), private=True)
    first = Candidate(account="sim", model="m", price=Price(input=1, output=2), weight=3, latency_s=2, rank=0)
    route = Route(candidates=(first, ROUTE.candidates[1]), balance="latency", degraded="Sorry.")
    assert bases(config(account, route), ASKED) == OURS


_WORDS = st.text(max_size=5)


@given(st.tuples(_WORDS, _WORDS, st.integers(1, 9)), st.tuples(_WORDS, _WORDS, st.integers(1, 9)), st.booleans())
def test_chunks_of_equal_keys_are_equal(one: tuple[str, str, int], two: tuple[str, str, int], asked: bool) -> None:
    """Path and text make the key, and the line only where a question's answers name lines."""

    def key(of: tuple[str, str, int]) -> bytes:
        path, text, line = of
        chunk = msgspec.structs.replace(CHUNK, path=path, text=text, first_line=line)
        return chunk_key(OURS.chunk, chunk, asked=asked)

    assert (key(one) == key(two)) == (one[:2] == two[:2] and (one[2] == two[2] or not asked))
    assert len(key(one)) == SIZE


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 9), st.sampled_from(["python", "text"]))
def test_where_a_chunk_stands_is_in_no_key(number: int, of: int, tokens: int, language: str) -> None:
    """How the file was cut, counted and recognised does not show in what a model reads."""
    moved = msgspec.structs.replace(CHUNK, number=number, of=of, last_line=99, tokens=tokens, language=language)
    assert chunk_key(OURS.chunk, moved, asked=True) == chunk_key(OURS.chunk, CHUNK, asked=True)


_PARTS = st.lists(st.tuples(_WORDS, _WORDS), max_size=3)


@given(st.tuples(_WORDS, _PARTS), st.tuples(_WORDS, _PARTS))
def test_nodes_of_equal_keys_are_equal(
    one: tuple[str, list[tuple[str, str]]], two: tuple[str, list[tuple[str, str]]]
) -> None:
    """A node's path and its children's paths and texts, in order, are the whole of its key."""
    keys = [node_key(OURS.node, path, parts) for path, parts in (one, two)]
    assert (keys[0] == keys[1]) == (one == two)


def test_names_that_are_no_utf_8_have_keys() -> None:
    """A file's name may hold a lone surrogate."""
    chunk = msgspec.structs.replace(CHUNK, path="caf\udce9.py")
    assert len(chunk_key(OURS.chunk, chunk, asked=False)) == SIZE
    assert len(node_key(OURS.node, "./", [("caf\udce9.py", "About it.")])) == SIZE


def test_extraction_that_answers_otherwise_has_another_name() -> None:
    """Where this fails on purpose, `_EXTRACTION` is to be raised: or old extracts would be found for ever."""
    source = "\n".join(
        f'def part_{n}(value: int) -> int:\n    """Adds {n}."""\n    return value + {n}\n' for n in range(9)
    )
    asked = map_request([msgspec.structs.replace(CHUNK, text=source)], model="extractive", max_tokens=60, question="")
    assert (_EXTRACTION, blake2b(answer(asked).text.encode(), digest_size=4).hexdigest()) == (
        "extraction 1",
        "87ce60b7",
    )


def test_without_a_base_nothing_is_known_by_anything() -> None:
    """That is how a digest is told to remember nothing."""
    assert chunk_key(b"", CHUNK, asked=False) == b""
    assert node_key(b"", "./", []) == b""
