"""A digest made again from its rows: the same when nothing was touched, and the first place that was is found."""

import msgspec
import pytest
from test_digest_recall import SETTINGS, Model, planned

from understudy.actors.mapper.blocks import pack_block
from understudy.protocols.config import Candidate, Config, Route, encode
from understudy.protocols.jobs import JobSpec
from understudy.protocols.journal import AnswerRow, BlockRow
from understudy.protocols.messages import ItemDone
from understudy.supervisors.digest.answer import read
from understudy.supervisors.digest.interpreter import DigestInterpreter, DigestSpec, pack_item
from understudy.supervisors.digest.keys import Asked, bases
from understudy.supervisors.digest.replay import replay
from understudy.supervisors.replay import Divergence

FILES = {f"{folder}/{name}.txt": f"{name} in {folder}\n" * 30 for folder in "ab" for name in "cde"}
ROUTE = Route(candidates=(Candidate(account="embedded", model="extractive"),))
CONFIG = Config(models={"maps": ROUTE, "merges": ROUTE}, digest=SETTINGS)
ASKED = Asked("maps", "merges", 600, 900, 12_000, "")

Rows = tuple[JobSpec, list[BlockRow], list[AnswerRow]]


def row(place: int, done: ItemDone, *, node: bool) -> AnswerRow:
    return AnswerRow("j", place, node, done.item, msgspec.msgpack.encode(done), done.keys)


async def rows(*, failing: int = -1) -> Rows:
    """What the Journal holds of a digest; item `failing` has failed."""
    plan = planned(FILES)
    digest = DigestSpec("maps", "merges", 600, 900, 12_000, "", plan.nodes, bases=bases(CONFIG, ASKED))
    spec = JobSpec("j", "a digest", "m:C", msgspec.msgpack.encode(digest), encode(CONFIG))
    interpreter, model = DigestInterpreter(spec), Model()
    items = [pack_item(pack) for pack in plan.packs]
    answers: list[AnswerRow] = []
    done: dict[int, ItemDone] = {}
    for number, item in enumerate(items):
        answer = await interpreter.map(number, item, model)  # type: ignore[arg-type]
        answer = ItemDone(number, error="it failed") if number == failing else answer
        answers.append(row(len(answers), answer, node=False))
        done |= {leaf.item: leaf for leaf in interpreter.leaves(answer)}
    for node in plan.nodes:
        if node.kind != "chunk":
            done[node.id] = await interpreter.reduce(node.id, done, model)  # type: ignore[arg-type]
            answers.append(row(len(answers), done[node.id], node=True))
    half = len(items) // 2
    parts = [items[:half], items[half:]]
    blocks = [BlockRow("j", place, len(part), pack_block(place * half, part)) for place, part in enumerate(parts)]
    return spec, blocks, answers


@pytest.mark.parametrize("failing", [-1, 0])
async def test_what_was_not_touched_comes_out_the_same(failing: int) -> None:
    """Also where an item has failed, and its folder was merged without it."""
    assert replay(*await rows(failing=failing)) is None


async def test_a_later_answer_takes_the_place_of_a_failed_one() -> None:
    """An item that was tried again, and the nodes above it that were merged anew."""
    spec, blocks, failed = await rows(failing=0)
    _, _, good = await rows()
    assert replay(spec, blocks, failed + good) is None
    nodes = [one for one in failed if one.node]
    found = replay(spec, blocks, [one for one in good if not one.node] + nodes)
    assert found is not None
    assert found.path == "a/"


def changed(done: AnswerRow, text: str) -> AnswerRow:
    """Another text under the same keys."""
    answer = msgspec.msgpack.decode(done.data, type=ItemDone)
    data = msgspec.msgpack.encode(msgspec.structs.replace(read(answer), texts=(text, *read(answer).texts[1:])))
    return row(done.place, msgspec.structs.replace(answer, data=data), node=done.node)


async def test_a_changed_answer_is_found_where_it_was_merged() -> None:
    """A chunk's text that is not the one that was merged makes another key for the folder above it."""
    spec, blocks, answers = await rows()
    answers[0] = changed(answers[0], "It says something else.")
    found = replay(spec, blocks, answers)
    assert found == Divergence(-1, "a/", "it was merged from other texts than those below it, or asked for otherwise")


async def test_a_changed_source_is_found_at_its_item() -> None:
    """The block that is there is not the one that was read."""
    spec, blocks, answers = await rows()
    _, items = msgspec.msgpack.decode(blocks[1].data, type=tuple[int, list[bytes]])
    first = len(answers[: blocks[0].count])
    data = pack_block(first, [item.replace(b" in ", b" IN ") for item in items])
    found = replay(spec, [blocks[0], BlockRow("j", 1, blocks[1].count, data)], answers)
    assert found is not None
    assert (found.item, found.why) == (first, "its answer was made from another text, or asked for otherwise")


@pytest.mark.parametrize("place", [0, -1])
async def test_a_missing_answer_is_found(place: int) -> None:
    """Of an item, and of the root."""
    spec, blocks, answers = await rows()
    gone = answers.pop(place)
    found = replay(spec, blocks, answers)
    assert found is not None
    assert (found.item, found.why) == (-1 if gone.node else 0, "it has no answer in the journal")


async def test_another_program_is_told() -> None:
    """What asks otherwise than the one that did the work does not pass for it."""
    spec, blocks, answers = await rows()
    other = encode(Config(models={"maps": Route(candidates=ROUTE.candidates, overflow="fail"), "merges": ROUTE}))
    found = replay(msgspec.structs.replace(spec, config=other), blocks, answers)
    assert found is not None
    assert found.why.startswith("the prompts")
