"""Fitting a request to a window: it fits, and what matters most is still there."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.call.cutting import both_ends, first, last
from understudy.actors.call.fitting import Fitted, fit, with_summary
from understudy.actors.counting import Count, counter, prompt_tokens
from understudy.protocols.chat import (
    ChatRequest,
    Document,
    Image,
    Message,
    Part,
    Question,
    Text,
    ToolCall,
    ToolResult,
)
from understudy.protocols.routes import Overflow


def words(text: str) -> int:
    return len(text.split())


O200K = counter("openai", "gpt-4o")
COUNTERS: dict[str, Count] = {"words": words, "characters": len, "o200k": O200K}
CUTS: tuple[Overflow, ...] = ("truncate_oldest", "truncate_middle", "summarise")

prose = st.lists(
    st.sampled_from(["to", "be ", "or not\n", "größe ", "\n\n", "👩‍👩‍👧 ", "x" * 40, "é", "日本語", "a b c d e f "]),
    max_size=120,
).map(" ".join)
user_parts = st.one_of(
    prose.map(Text), st.builds(Document, st.just("a.py"), prose, st.integers(1, 99)), prose.map(Question)
)
users = st.lists(user_parts, min_size=1, max_size=3).map(lambda parts: [Message("user", tuple(parts))])
answers = prose.map(lambda text: [Message("assistant", (Text(text),))])
tools = prose.map(
    lambda text: [
        Message("assistant", (ToolCall("1", "look", '{"a":1}'),)),
        Message("tool", (ToolResult("1", "look", text),)),
    ]
)
conversations = st.builds(
    lambda head, turns, ask, tail: (*head, *(one for turn in turns for one in turn), *ask, *tail),
    st.lists(prose.map(lambda text: Message("system", (Text(text),))), max_size=1),
    st.lists(st.one_of(users, answers, tools), max_size=6),
    users,
    st.one_of(st.just([]), tools),
)


def last_text(messages: tuple[Message, ...]) -> str:
    """The last text of the user's last message that has one."""
    asked = [one for one in messages if one.role == "user"][-1]
    texts = [part.text for part in asked.parts if isinstance(part, Text | Document | Question) and part.text]
    return texts[-1] if texts else ""


def is_subsequence(left: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in left)


def outline(messages: tuple[Message, ...]) -> list[str]:
    return [f"{one.role}:{type(part).__name__}" for one in messages for part in one.parts]


@given(
    conversations,
    st.sampled_from(CUTS),
    st.sampled_from(sorted(COUNTERS)),
    st.tuples(st.integers(1, 3_000), st.integers(1, 2_000), st.floats(1.0, 2.0)),
)
def test_what_comes_out_fits(
    messages: tuple[Message, ...], overflow: Overflow, counted: str, sizes: tuple[int, int, float]
) -> None:
    """Prompt and answer fit by the same counter; the user's last words and the order are kept; calls have results."""
    count = COUNTERS[counted]
    window, max_tokens, scale = sizes
    request = ChatRequest("m", messages, max_tokens=max_tokens)
    tokens = int(prompt_tokens(request, count) * scale)
    fitted = fit(request, tokens=tokens, window=window, overflow=overflow, count=count)
    if fitted is None:
        return
    left = fitted.request
    assert prompt_tokens(left, count) <= fitted.tokens
    assert fitted.tokens + left.max_tokens <= window
    assert min(max_tokens, max(64, max_tokens // 4)) <= left.max_tokens <= max_tokens
    assert last_text(left.messages)[-1:] == last_text(messages)[-1:]
    assert is_subsequence(outline(left.messages), outline(messages))
    systems = [[one for one in some if one.role == "system"] for some in (left.messages, messages)]
    assert systems[0] == systems[1]
    for at, message in enumerate(left.messages):
        if any(isinstance(part, ToolCall) for part in message.parts):
            assert left.messages[at + 1].role == "tool"


@given(conversations, st.sampled_from(sorted(COUNTERS)), st.integers(200, 3_000), prose)
def test_with_its_summary_it_still_fits(messages: tuple[Message, ...], counted: str, window: int, summary: str) -> None:
    """However long the summary is, it is cut to the room that was kept for it."""
    count = COUNTERS[counted]
    request = ChatRequest("m", messages, max_tokens=64)
    fitted = fit(request, tokens=prompt_tokens(request, count), window=window, overflow="summarise", count=count)
    if fitted is None or fitted.summarise is None:
        return
    whole = with_summary(fitted, summary * 5)
    assert prompt_tokens(whole, count) + whole.max_tokens <= window
    assert len(whole.messages) <= len(fitted.request.messages) + 1


def conversation(*texts: str, system: str = "") -> ChatRequest:
    """User and assistant in turn, beginning with the user."""
    roles = ("user", "assistant")
    said = [Message(roles[at % 2], (Text(text),)) for at, text in enumerate(texts)]  # type: ignore[arg-type]
    return ChatRequest("m", (*([Message("system", (Text(system),))] if system else []), *said), max_tokens=100)


def fitting(request: ChatRequest, room: int, overflow: Overflow) -> Fitted:
    """Fitted to a window that leaves `room` tokens for the prompt, counted in words."""
    tokens = prompt_tokens(request, words)
    fitted = fit(
        request, tokens=tokens, window=room + request.max_tokens, overflow=overflow, count=words, keep_output=True
    )
    assert fitted is not None
    return fitted


def said(request: ChatRequest) -> list[str]:
    return [part.text for one in request.messages for part in one.parts if not isinstance(part, Image | ToolCall)]


def test_the_oldest_turns_go_whole_and_first() -> None:
    """Of five turns the first two go; the system's words stay, and the rest begins with the user."""
    talk = conversation("a " * 50, "b " * 50, "c " * 50, "d " * 50, "e " * 50, system="be brief")
    fitted = fitting(talk, 190, "truncate_oldest")
    assert said(fitted.request) == ["be brief", "c " * 50, "d " * 50, "e " * 50]
    assert fitted.left_out == 2 * 54
    fitted = fitting(talk, 160, "truncate_oldest")
    assert said(fitted.request) == ["be brief", "e " * 50], "an assistant's turn would come first"


def test_then_the_oldest_text_is_cut_from_its_start() -> None:
    """A document gives way before the question does, and its lines keep their numbers."""
    document = Document("a.py", "".join(f"line {at} of it\n" for at in range(1, 101)), first_line=1)
    ask = ChatRequest("m", (Message("user", (document, Question("what is line 100?"))),), max_tokens=10)
    left = fitting(ask, 120, "truncate_oldest").request.messages[0].parts
    assert left[1] == Question("what is line 100?")
    assert isinstance(left[0], Document)
    numbered = enumerate(left[0].text.splitlines(), start=left[0].first_line)
    lines = {number: line for number, line in numbered if line.startswith("line")}
    assert lines == {number: f"line {number} of it" for number in lines}
    assert 100 in lines
    assert left[0].text.startswith("[… ")
    assert len(lines) > 15


def test_the_middle_of_the_longest_goes() -> None:
    """Short texts stay whole; each long one keeps its beginning and its end, and says what is missing."""
    talk = conversation("short", " ".join(f"a{at}" for at in range(500)), " ".join(f"b{at}" for at in range(500)))
    left = said(fitting(talk, 200, "truncate_middle").request)
    assert left[0] == "short"
    for text, letter in zip(left[1:], "ab", strict=True):
        assert text.startswith(f"{letter}0 {letter}1 ")
        assert text.endswith(f" {letter}498 {letter}499")
        assert "tokens left out …]" in text
        assert 70 <= words(text) <= 100


def test_what_went_is_to_be_summarised() -> None:
    """The question for the summary holds what was dropped; the summary comes before what was kept."""
    talk = conversation("a " * 300, "b " * 300, "the question?", system="be brief")
    fitted = fitting(talk, 200, "summarise")
    assert said(fitted.request) == ["be brief", "the question?"]
    assert fitted.summarise is not None
    asked = said(fitted.summarise)[-1]
    assert asked.count("a ") >= 300
    assert asked.count("b ") >= 300
    whole = with_summary(fitted, "they talked about letters")
    assert said(whole) == ["be brief", "Summary of what was said before:\nthey talked about letters", "the question?"]
    assert [one.role for one in whole.messages] == ["system", "user"]


def test_the_answer_gives_way_first() -> None:
    """`max_tokens` falls as far as it has to, to a quarter at most; with `fail` nothing is changed."""
    talk = msgspec.structs.replace(conversation("a " * 93), max_tokens=1_000)
    for overflow in ("larger", *CUTS):
        fitted = fit(talk, tokens=100, window=600, overflow=overflow, count=words)
        assert fitted is not None
        assert (fitted.request.max_tokens, fitted.left_out) == (500, 0)
        assert fitted.request.messages == talk.messages
    assert fit(talk, tokens=100, window=600, overflow="fail", count=words) is None
    assert fit(talk, tokens=100, window=340, overflow="larger", count=words) is None
    cut = fit(talk, tokens=100, window=340, overflow="truncate_oldest", count=words)
    assert cut is not None
    assert cut.request.max_tokens >= 250
    kept = fit(talk, tokens=100, window=1_050, overflow="truncate_oldest", count=words, keep_output=True)
    assert kept is not None
    assert kept.request.max_tokens == 1_000
    assert kept.tokens <= 50


def test_what_fits_is_not_touched() -> None:
    """A request that fits by its caller's count comes back as it was, uncounted."""

    def never(_: str) -> int:
        raise AssertionError

    talk = conversation("a", "b", "c")
    fitted = fit(talk, tokens=20, window=120, overflow="truncate_middle", count=never)
    assert fitted == Fitted(talk, 20)


@pytest.mark.parametrize("overflow", CUTS)
def test_what_can_not_fit_is_said(overflow: Overflow) -> None:
    """System's words that fill the window, or a picture that does, leave nothing to cut."""
    picture: tuple[Part, ...] = (Image(b"x"), Text("what is it?"))
    for request in (
        conversation("hello", system="a " * 500),
        ChatRequest("m", (Message("user", picture),), max_tokens=100),
    ):
        tokens = prompt_tokens(request, words)
        assert fit(request, tokens=tokens, window=300, overflow=overflow, count=words) is None


def test_the_newest_tool_results_stay() -> None:
    """An agent that has called many tools since the user spoke loses the oldest results, call and result together."""
    turns = [
        (Message("assistant", (ToolCall(str(at), "look"),)), Message("tool", (ToolResult(str(at), "look", "r " * 50),)))
        for at in range(5)
    ]
    ask = Message("user", (Text("find it"),))
    request = ChatRequest("m", (ask, *(one for turn in turns for one in turn)), max_tokens=10)
    left = fitting(request, 160, "truncate_oldest").request.messages
    assert left == (ask, *turns[3], *turns[4])


@given(prose, st.integers(0, 200), st.sampled_from(sorted(COUNTERS)))
def test_cuts_are_parts_of_the_text(text: str, tokens: int, counted: str) -> None:
    """Beginning, end and both ends are what the text begins and ends with, within their tokens but for a join."""
    count = COUNTERS[counted]
    head = first(text, tokens, count)
    assert text.startswith(head)
    assert count(head) <= tokens + 2
    tail, start = last(text, tokens, count)
    assert tail.endswith(text[start:])
    assert count(tail) <= tokens + 2
    both = both_ends(text, tokens, count)
    assert not both or (both[0], both[-1]) == (text[0], text[-1])
    assert count(both) <= tokens + 4


@pytest.mark.parametrize("cluster", ["👩‍👩‍👧", "e\u0301", "🇩🇪", "👍🏽", "✋️", "\r\n"])
def test_no_cut_falls_inside_a_character(cluster: str) -> None:
    """Runs of composed characters are cut between two of them, at every length."""
    text = cluster * 60
    for tokens in range(1, 240):
        head = first(text, tokens, len)
        tail = last(text, tokens, len)[1]
        if cluster != "🇩🇪":  # a run of flags is one piece here
            assert len(head) % len(cluster) == 0
            assert tail % len(cluster) == 0


def test_a_megabyte_is_cut_in_a_few_counts() -> None:
    """Of a text of 4 MB that has to become 1,000 tokens, the whole is counted three times at most."""
    seen = 0

    def count(text: str) -> int:
        nonlocal seen
        seen += len(text)
        return len(text) // 4

    text = "some words and more\n" * 200_000
    assert count(both_ends(text, 1_000, count)) <= 1_000
    assert seen <= 3 * len(text)
