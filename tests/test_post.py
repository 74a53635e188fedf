"""Post offices joined in one process: order, batches, answers, deaths, and faults that stay where they are."""

import asyncio

import pytest

from understudy.actors.mailbox import post as module
from understudy.actors.mailbox.outbox import MAX_COUNT
from understudy.actors.mailbox.post import LocalPeers, Post
from understudy.protocols.envelope import Envelope
from understudy.protocols.errors import ActorDied, ConfigError, MailboxFull, UnderstudyError
from understudy.protocols.messages import CancelJob, Done, Down, Failure, Payload, ProviderAsk, Results, Slice


def pair() -> tuple[LocalPeers, Post, Post, list[str]]:
    """Two post offices; `b` writes down the jobs that are cancelled."""
    peers, heard = LocalPeers(), list[str]()
    a, b = peers.open("a"), peers.open("b")
    b.on(CancelJob, lambda _, message: heard.append(message.job))
    return peers, a, b, heard


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_said_in_one_turn_travels_together_and_in_order() -> None:
    """A thousand tells in one turn are two deliveries; order is kept within and between turns."""
    _, a, _, heard = pair()
    for number in range(1000):
        a.tell("b", CancelJob(str(number)), weight=64)
    await a.drain()
    assert heard == [str(number) for number in range(1000)]
    assert (a.batches, a.messages) == (2, 1000)
    for number in range(20):
        a.tell("b", CancelJob(f"again {number}"))
        await asyncio.sleep(0)
    await a.drain()
    assert heard[1000:] == [f"again {number}" for number in range(20)]


async def test_heavy_messages_are_cut_into_batches() -> None:
    """A batch stays below the size from which Ray would put it into its object store."""
    _, a, b, _ = pair()
    b.on(Results, lambda _, __: None)
    for number in range(5):
        a.tell("b", Results(str(number), ()), weight=50_000)
    await a.drain()
    assert a.batches == 5


async def test_an_ask_is_answered() -> None:
    """Plain and awaited answers come back to whoever asked, each to its own ask."""
    _, a, b, _ = pair()

    async def later(_: Envelope, message: Slice) -> Payload:
        await asyncio.sleep(0)
        return CancelJob(f"{message.job} later")

    b.on(Slice, later)
    b.on(Down, lambda _, message: CancelJob(f"{message.name} now"))
    asks = [a.ask("b", Slice(str(number), 0, 0, 1), timeout=5.0) for number in range(3)]
    answers = await asyncio.gather(*asks, a.ask("b", Down("x", restarting=False), timeout=5.0))
    assert answers == [*(CancelJob(f"{number} later") for number in range(3)), CancelJob("x now")]


async def test_a_handlers_error_is_the_askers() -> None:
    """What a handler raises comes back as an error of ours with its text, at once or later, foreseen or not."""
    _, a, b, heard = pair()

    def foreseen(_: Envelope, __: Slice) -> None:
        raise ConfigError("mend it so")

    async def unforeseen(_: Envelope, __: ProviderAsk) -> Payload:
        raise ValueError("oh")

    def at_once(_: Envelope, __: Down) -> Payload:
        raise KeyError("here")

    b.on(Slice, foreseen)
    b.on(ProviderAsk, unforeseen)
    b.on(Down, at_once)
    with pytest.raises(UnderstudyError, match="mend it so"):
        await a.ask("b", Slice("j", 0, 0, 1), timeout=5.0)
    with pytest.raises(UnderstudyError, match="b: oh"):
        await a.ask("b", ProviderAsk(), timeout=5.0)
    asking = asyncio.create_task(a.ask("b", Down("x", restarting=False), timeout=5.0))
    await asyncio.sleep(0)
    a.tell("b", CancelJob("after"))
    with pytest.raises(UnderstudyError, match="b: 'here'"):
        await asking
    assert heard == ["after"], "the rest of the batch is handled"


async def test_an_unknown_kind_breaks_nothing() -> None:
    """A kind without a handler is answered so; all else in the batch is heard."""
    _, a, _, heard = pair()
    asking = asyncio.create_task(a.ask("b", ProviderAsk(), timeout=5.0))
    await asyncio.sleep(0)
    a.tell("b", CancelJob("after"))
    with pytest.raises(UnderstudyError, match="b takes no ProviderAsk"):
        await asking
    assert heard == ["after"]
    a.tell("b", Done())
    await a.drain()
    await turns()


async def test_open_asks_are_answered_at_the_peers_death() -> None:
    """Asks that were said and asks that wait in the outbox end with `ActorDied`; the owner is told once."""
    peers, down = LocalPeers(), list[str]()
    a, b = peers.open("a", on_down=down.append), peers.open("b")
    b.on(Slice, lambda _, __: None)  # never answers
    said = asyncio.create_task(a.ask("b", Slice("j", 0, 0, 1), timeout=60.0))
    await a.drain()
    await turns()
    peers.kill("b")
    waits = asyncio.create_task(a.ask("b", Slice("j", 0, 1, 2), timeout=60.0))
    for task in (said, waits):
        with pytest.raises(ActorDied, match="b died before it answered"):
            await task
    assert down == ["b"]


async def test_a_successor_is_found_by_the_same_name() -> None:
    """After a death the next message looks for the name again, and reaches the new one."""
    peers, a, _, _ = pair()
    a.tell("b", CancelJob("first"))
    await a.drain()
    peers.kill("b")
    a.tell("b", CancelJob("lost"))
    await a.drain()
    heard: list[str] = []
    peers.open("b").on(CancelJob, lambda _, message: heard.append(message.job))
    a.tell("b", CancelJob("second"))
    await a.drain()
    assert heard == ["second"]


async def test_nobody_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ask of an actor that is not there ends with `ActorDied` when it was looked for long enough."""
    monkeypatch.setattr(module, "FIND_S", -1.0)
    _, a, _, _ = pair()
    with pytest.raises(ActorDied):
        await a.ask("nobody", ProviderAsk(), timeout=60.0)


async def test_a_full_outbox_refuses() -> None:
    """The sender hears that its peer is too slow, instead of filling the memory."""
    _, a, _, heard = pair()
    for _ in range(MAX_COUNT):
        a.tell("b", CancelJob("x"), weight=1)
    with pytest.raises(MailboxFull, match="the outbox for b is full"):
        a.tell("b", CancelJob("x"))
    await a.drain()
    assert len(heard) == MAX_COUNT
    a.tell("b", CancelJob("y"))
    await a.drain()


async def test_expired_messages_are_not_delivered() -> None:
    """A message whose deadline has passed before it leaves is dropped; the others go."""
    _, a, _, heard = pair()
    a.tell("b", CancelJob("late"), deadline=0.0)
    a.tell("b", CancelJob("fine"), deadline=60.0)
    await a.drain()
    assert heard == ["fine"]


async def test_an_ask_in_vain_ends_in_time() -> None:
    """Without an answer an ask ends with TimeoutError, and a late answer disturbs nobody."""
    _, a, b, _ = pair()
    b.on(Slice, lambda _, __: None)
    with pytest.raises(TimeoutError):
        await a.ask("b", Slice("j", 0, 0, 1), timeout=0.001)
    b.tell("a", Failure("X", "too late"), cause="gone", answer=True)
    await b.drain()


async def test_a_renewed_line_reaches_only_the_new_one() -> None:
    """What was said to a predecessor is not said to its successor, and its asks are answered."""
    _, a, b, heard = pair()
    b.on(Slice, lambda _, __: None)
    asking = asyncio.create_task(a.ask("b", Slice("j", 0, 0, 1), timeout=60.0))
    a.tell("b", CancelJob("old"))
    await asyncio.sleep(0)
    a.renew("b")
    a.tell("b", CancelJob("new"))
    with pytest.raises(ActorDied):
        await asking
    await a.drain()
    assert heard == ["new"]


async def test_closing_answers_all_asks_and_stops_the_work() -> None:
    """No ask is left hanging, and what runs beside is cancelled."""
    _, a, b, _ = pair()
    b.on(Slice, lambda _, __: None)
    asking = asyncio.create_task(a.ask("b", Slice("j", 0, 0, 1), timeout=60.0))
    forever = asyncio.get_running_loop().create_future()

    async def beside() -> None:
        await forever

    a.spawn(beside())
    await turns()
    await a.close()
    with pytest.raises(ActorDied, match="a stopped"):
        await asking
    await turns()
    assert forever.cancelled()
