"""A second digest: what an earlier one has answered is asked of nobody, and only what changed is paid for."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.actors.call.outcome import CallOutcome
from understudy.protocols.call import Attempt, CallOptions
from understudy.protocols.chat import ChatReply, ChatRequest, Document, Usage
from understudy.protocols.config import DigestSettings
from understudy.protocols.digest import Chunk, DigestPlan, Node, Pack
from understudy.protocols.jobs import JobSpec
from understudy.protocols.journal import Recalled
from understudy.protocols.messages import ItemDone
from understudy.supervisors.digest.answer import Answer, read
from understudy.supervisors.digest.interpreter import DigestInterpreter, DigestSpec, pack_item
from understudy.supervisors.digest.keys import Bases
from understudy.supervisors.digest.known import ITEM_BYTES, Earlier, Known, known_nodes, packs_of_answers
from understudy.supervisors.digest.plan import Planner, TextFile, calls_to_read, estimate, files_known

BASES = Bases(b"c" * 16, b"n" * 16)
SETTINGS = DigestSettings(map_budget=256, reduce_budget=1024)


class Remembered:
    """What was answered, by key: a `Memory` and a `Recall`."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Recalled] = {}

    def take(self, done: ItemDone) -> ItemDone:
        """As the Journal does with an answer's keys."""
        data = msgspec.msgpack.encode(done)
        self.answers |= {key: Recalled(data, part) for part, key in enumerate(done.keys) if key}
        return done

    def look(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        return [self.answers.get(key) for key in keys]

    async def recall(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        return self.look(keys)


class Model:
    """Answers each document by its name and its text's length; counts what it is asked."""

    def __init__(self, *, words: int = 1) -> None:
        self.defaults = CallOptions(job="j")
        self.maps = self.merges = 0
        self._words = words

    async def call(self, request: ChatRequest, *, tokens: int, options: CallOptions | None = None) -> CallOutcome:
        """One call, whose bill is one token."""
        assert tokens > 0
        assert options is None
        documents = [part for part in request.messages[1].parts if isinstance(part, Document)]
        merges = documents[0].kind == "summary"
        self.merges += merges
        self.maps += not merges
        text = "\n".join(f"## {one.name}\nIt has {hash_of(one.text)}. {'word ' * self._words}" for one in documents)
        made = CallOutcome()
        made.add(Attempt("a/m", "first", "ok", 0.0, 1.0, usage=Usage(1, 1), cost=1))
        made.reply, made.rung = (
            ChatReply(text if not merges else f"{len(text)} {hash_of(text)}", "m", Usage(1, 1)),
            "model",
        )
        return made


def hash_of(text: str) -> int:
    return sum(place * ord(letter) for place, letter in enumerate(text, 1)) % 1_000_003


def planned(files: dict[str, str], earlier: Earlier | None = None) -> DigestPlan:
    planner = Planner("root", SETTINGS)
    for path, text in files.items():
        planner.add(TextFile(path, text, len(text)))
    return planner.finish(earlier)


async def digested(
    files: dict[str, str], memory: Remembered, model: Model, *, reduce_budget: int = 12_000, look: bool = True
) -> tuple[str, int, DigestPlan]:
    """The root's text, what was paid, and the plan."""
    plan = planned(files, Earlier(BASES, memory.look) if look else None)
    spec = DigestSpec("maps", "merges", 600, 900, reduce_budget, "", plan.nodes, bases=BASES)
    interpreter = DigestInterpreter(JobSpec("j", "a digest", "m:C", msgspec.msgpack.encode(spec), b""))
    if look:
        interpreter.remember(memory)
    done: dict[int, ItemDone] = {}
    paid = 0
    for pack in plan.packs:
        item = memory.take(await interpreter.map(pack.id, pack_item(pack), model))  # type: ignore[arg-type]
        paid += item.attempts
        assert item.recalled == bool(pack.known) == (not item.attempts)
        done |= {leaf.item: leaf for leaf in interpreter.leaves(item)}
    for node in plan.nodes:
        if node.kind != "chunk":
            answer = await interpreter.reduce(node.id, done, model)  # type: ignore[arg-type]
            done[node.id] = memory.take(answer)
            paid += answer.attempts
    return read(done[len(plan.nodes) - 1]).texts[0], paid, plan


_PATHS = st.lists(st.sampled_from("abc"), max_size=2).map(lambda parts: "/".join([*parts, "x.txt"]))
_FILES = st.dictionaries(_PATHS, st.integers(1, 150).map(lambda count: "some words here\n" * count), min_size=2)


@given(_FILES, st.data())
@settings(deadline=None, max_examples=40)
async def test_an_edit_pays_for_its_chunks_and_the_way_to_the_root(files: dict[str, str], data: st.DataObject) -> None:
    """The text is what a digest that knows nothing makes, and only what is new is called for."""
    memory = Remembered()
    model = Model()
    await digested(files, memory, model)
    path = data.draw(st.sampled_from(sorted(files)))
    edited = files | {path: "edited words\n" * 3}
    model.maps = model.merges = 0
    text, paid, plan = await digested(edited, memory, model)
    assert model.maps == (1 if edited != files else 0)
    assert model.merges <= path.count("/") + 2
    assert paid == model.maps + model.merges
    assert files_known(plan) == len(files) - model.maps
    fresh, _, _ = await digested(edited, Remembered(), Model())
    assert text == fresh


async def test_the_same_again_calls_nobody() -> None:
    """Neither for what was read nor for what was merged, and the plan knew it."""
    files = {f"{folder}/{name}.txt": f"{name} in {folder}\n" * 9 for folder in "ab" for name in "cde"}
    memory, model = Remembered(), Model()
    first, _, _ = await digested(files, memory, model)
    asked = (model.maps, model.merges)
    again, paid, plan = await digested(files, memory, model)
    assert (again, paid, (model.maps, model.merges)) == (first, 0, asked)
    guess = estimate(plan, SETTINGS, known_nodes(plan, Earlier(BASES, memory.look)))
    assert (guess.calls, guess.input_tokens, guess.output_tokens, calls_to_read(plan)) == (0, 0, 0, 0)
    assert estimate(plan, SETTINGS).reduce_calls == 3


async def test_rounds_of_a_merge_are_found_again() -> None:
    """A file that is appended to a wide folder leaves the first rounds as they were."""
    files = {f"{number:02}.txt": f"file {number}\n" * 30 for number in range(20)}
    memory, model = Remembered(), Model(words=150)
    await digested(files, memory, model, reduce_budget=1024)
    assert model.merges > 3
    rounds, model.merges = model.merges, 0
    await digested(files | {"zz.txt": "another\n" * 30}, memory, model, reduce_budget=1024)
    assert model.merges < rounds - 1


async def test_a_digest_that_looks_nothing_up_pays_all_again() -> None:
    """What it answers is known afterwards all the same."""
    files = {"a.txt": "one\n", "b.txt": "two\n"}
    memory, model = Remembered(), Model()
    await digested(files, memory, model)
    before = dict(memory.answers)
    _, paid, _ = await digested(files, memory, model, look=False)
    assert paid == 2
    assert memory.answers.keys() == before.keys()


CHUNK = Chunk("a.txt", 1, 1, 1, 1, 5, "", "text\n")
TWO = Pack(0, (CHUNK, msgspec.structs.replace(CHUNK, path="b.txt")), 10)
NODES = (Node(0, "chunk", "a.txt", (), 0, 0), Node(1, "chunk", "b.txt", (), 0, 1), Node(2, "folder", "./", (0, 1)))


class Says:
    """Answers with one text."""

    def __init__(self, text: str, rung: str = "model") -> None:
        self.defaults = CallOptions(job="j")
        self._outcome = CallOutcome(reply=ChatReply(text, "m", Usage()), model="a/m", attempts=1)
        self._outcome.rung = rung  # type: ignore[assignment]

    async def call(self, *_: object, **__: object) -> CallOutcome:
        return self._outcome


async def _mapped(text: str, *, question: str = "", rung: str = "model") -> ItemDone:
    spec = DigestSpec("maps", "merges", 600, 900, 12_000, question, NODES, bases=BASES)
    job = JobSpec("j", "a digest", "m:C", msgspec.msgpack.encode(spec), b"")
    return await DigestInterpreter(job).map(0, pack_item(TWO), Says(text, rung))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "question", "known"),
    [
        ("## a.txt\nOne.\n## b.txt\nTwo.", "", [True, True]),
        ("## b.txt\nTwo.", "", [False, True]),
        ("Both are about it.", "", []),
        ("[0.9] a.txt:1: one\n[0.8] b.txt:1: two\nSo it is.", "Why?", [True, True]),
        ("Because.\n[0.8] b.txt:1: two", "Why?", [False, True]),
        ("[0.8] b.txt:1: two", "Why?", [True, True]),
        ("No passage answers this.", "Why?", [True, True]),
        ("Because.", "Why?", []),
    ],
)
async def test_a_text_that_stands_for_several_is_known_by_nothing(text: str, question: str, known: list[bool]) -> None:
    """Only what is about one document alone may be found again for it."""
    assert [bool(key) for key in (await _mapped(text, question=question)).keys] == known


async def test_an_older_answer_stands_in_and_is_known_by_nothing() -> None:
    """It is to be tried again, and must not be found as if it were new."""
    done = await _mapped("## a.txt\nOne.\n## b.txt\nTwo.", rung="stale")
    assert (done.standing, done.keys, done.degraded) == (True, (), True)
    good = await _mapped("## a.txt\nOne.\n## b.txt\nTwo.", rung="cache")
    assert (good.standing, len(good.keys)) == (False, 2)


_KNOWN = st.builds(
    Known, st.text("ab", min_size=1).map(lambda text: text * 5_000), st.sampled_from("mn"), st.booleans()
)


@given(st.lists(_KNOWN, max_size=30), st.integers(0, 3))
def test_packs_of_answers_hold_each_once(answers: list[Known], first: int) -> None:
    """Of one model, small enough for a message, and numbered without a gap."""
    chunks = [(msgspec.structs.replace(CHUNK, path=str(place)), b"k", one) for place, one in enumerate(answers)]
    packs = list(packs_of_answers(chunks, first))
    assert sorted(pack.id for pack in packs) == list(range(first, first + len(packs)))
    held = {
        chunk.path: Known(text, pack.model, pack.shared)
        for pack in packs
        for chunk, text in zip(pack.chunks, pack.known, strict=True)
    }
    assert held == {chunk.path: known for chunk, _, known in chunks}
    assert all(len(pack.known) == 1 or sum(map(len, pack.known)) <= ITEM_BYTES for pack in packs)
    assert all(msgspec.msgpack.decode(pack_item(pack), type=Pack).chunks == () for pack in packs)


def test_what_is_no_answer_is_not_found() -> None:
    """A failure, an empty text, or a part that is not there."""
    done = ItemDone(0, msgspec.msgpack.encode(Answer(("", "text"))), model="m")
    failed = msgspec.structs.replace(done, error="it failed")
    files = {"a.txt": "text\n"}
    for answer, part in ((done, 0), (done, 2), (failed, 1)):
        recalled = Recalled(msgspec.msgpack.encode(answer), part)
        assert calls_to_read(planned(files, Earlier(BASES, lambda keys, one=recalled: [one] * len(keys)))) == 1  # type: ignore[misc]
