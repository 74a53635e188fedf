"""A stream that is gone on with: no text comes twice, none is lost."""

from hypothesis import assume, given
from hypothesis import strategies as st

from understudy.actors.call.stitching import Stitcher, continuation
from understudy.protocols.chat import ChatRequest, Message, Text

ASK = ChatRequest("m", (Message("user", (Text("tell me"),)),), max_tokens=9)


def stitched(emitted: str, pieces: list[str]) -> str:
    """What a reader gets of the continuation."""
    stitcher = Stitcher(emitted)
    return "".join([*(stitcher.feed(piece) for piece in pieces), stitcher.finish()])


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


def naive(emitted: str, text: str) -> str:
    """All at once: without the longest end of what was emitted that it begins with and that counts."""
    behind = emitted[-2048:]
    ends = [behind[at:] for at in range(len(behind)) if text.startswith(behind[at:])]
    counting = [end for end in ends if len(end) >= 8 or end.isspace()]
    return text[len(max(counting, key=len, default="")) :]


texts = st.text(alphabet="ab \n", max_size=40)
sizes = st.lists(st.integers(0, 5), max_size=20)


@given(texts, texts, st.integers(0, 40), sizes)
def test_the_pieces_make_no_difference(emitted: str, new: str, repeats: int, cuts: list[int]) -> None:
    """However a continuation is cut into pieces: what comes out is what comes out of it as a whole."""
    text = emitted[len(emitted) - min(repeats, len(emitted)) :] + new
    assert stitched(emitted, cut(text, cuts)) == naive(emitted, text)


@given(st.text(min_size=1, max_size=3_000), st.text(max_size=50), st.integers(8, 2_048), sizes)
def test_what_is_repeated_comes_once(emitted: str, new: str, repeats: int, cuts: list[int]) -> None:
    """A continuation that begins with the last 8 to 2,048 characters again: exactly the new text comes."""
    again = emitted[-repeats:]
    assume(len(again) >= 8)
    assume(naive(emitted, again + new) == new)  # no longer repetition by chance
    assert stitched(emitted, cut(again + new, cuts)) == new


@given(st.text(alphabet="abc ", min_size=1, max_size=200), st.text(alphabet="xyz", min_size=1, max_size=50), sizes)
def test_what_is_new_comes_whole_and_at_once(emitted: str, new: str, cuts: list[int]) -> None:
    """A continuation that repeats nothing is handed on piece by piece, nothing held back."""
    stitcher = Stitcher(emitted)
    pieces = cut(new, cuts)
    assert [stitcher.feed(piece) for piece in pieces] == pieces
    assert stitcher.finish() == ""


def test_a_sentence_that_is_begun_again_is_dropped() -> None:
    """The last sentence comes again, word by word, and then goes on."""
    words = ["The ", "quick ", "brown ", "fox jum", "ps over"]
    assert stitched("Once. The quick brown fox", words) == " jumps over"


def test_blanks_cut_from_a_prefill_do_not_come_twice() -> None:
    """A prefill may not end in blanks; when the model writes them, the reader has them already."""
    emitted = "First:\n\n"
    assert continuation(ASK, emitted, prefill=True).messages[-1].parts == (Text("First:"),)
    assert stitched(emitted, ["\n", "\n", "- one"]) == "- one"
    assert stitched(emitted, ["\n\n- one"]) == "- one"
    assert stitched(emitted, ["- one"]) == "- one"


def test_short_words_are_no_repetition() -> None:
    """`the ` again may be what the answer says."""
    assert stitched("so the ", ["the ", "end"]) == "the end"


def test_what_looked_like_a_repetition_and_was_none_comes_in_the_end() -> None:
    """Text that begins as the last words do is held back until it differs, or ends."""
    stitcher = Stitcher("a long last sentence")
    assert stitcher.feed("a long ") == ""
    assert stitcher.feed("way off") == "a long way off"
    assert stitched("a long last sentence", ["a long "]) == "a long "


def test_a_continuation_is_asked_for_by_prefill_or_in_words() -> None:
    """The answer so far is the last turn, or the last but one with a turn that says what to do."""
    filled = continuation(ASK, "Once upon ", prefill=True)
    assert [one.role for one in filled.messages] == ["user", "assistant"]
    asked = continuation(ASK, "Once upon ", prefill=False)
    assert [one.role for one in asked.messages] == ["user", "assistant", "user"]
    assert asked.messages[1].parts == (Text("Once upon "),)
    assert asked.messages[2].parts[0].text.startswith("Continue exactly")  # type: ignore[union-attr]
    assert asked.max_tokens == ASK.max_tokens
    assert continuation(ASK, " \n", prefill=True) == continuation(ASK, "", prefill=False) == ASK
