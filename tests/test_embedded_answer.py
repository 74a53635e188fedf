"""The embedded provider from request to reply."""

import re
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.actors.embedded import MODEL, NOTICE, answer
from understudy.actors.embedded.passages import NONE, read
from understudy.actors.embedded.tokens import count
from understudy.protocols.chat import ChatRequest, Document, Message, Part, Question, Text

QUEUE = '''"""A bounded queue with back-pressure."""

import asyncio


class Queue:
    """A FIFO queue that makes the sender wait."""

    def put(self, item): ...


def retry_after(header):
    """Seconds that a Retry-After header asks to wait."""
    return float(header)
'''


def ask(*parts: Part, max_tokens: int = 600) -> str:
    """The text of the reply to one user message."""
    return answer(ChatRequest("extractive", (Message("user", parts),), max_tokens=max_tokens)).text


def summary(name: str, text: str) -> Document:
    """A summary that a call below gave."""
    return Document(name, text, kind="summary")


def test_each_document_has_its_section() -> None:
    """A map answer holds a section for every document, in order, with purpose and outline."""
    text = ask(Text("Summarise."), Document("a/queue.py", QUEUE), Document("b.md", "# B\n\nIt says what B is for.\n"))
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["a/queue.py", "b.md"]
    assert "A bounded queue with back-pressure." in text
    assert "`Queue` (A FIFO queue that makes the sender wait)" in text
    assert "`retry_after` (Seconds that a Retry-After header asks to wait)" in text
    assert "It says what B is for." in text


def test_a_heading_in_a_body_does_not_start_a_section() -> None:
    """Only the documents' names stand after `## `."""
    text = ask(Document("a.txt", "## not a section\n\nThis text has a heading that looks like one.\n"))
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["a.txt"]


def test_tests_are_told_as_tests() -> None:
    """A test file tells its subject and how many cases it has."""
    text = ask(
        Document("tests/test_queue.py", "class TestPut:\n    def test_a(self): ...\n    def test_b(self): ...\n")
    )
    assert "Tests of `queue`: 2 test cases." in text
    assert "`TestPut`" in text


def test_small_rooms_are_shared() -> None:
    """With forty documents in a small room every one still has its heading."""
    documents = [Document(f"m{number}.py", QUEUE) for number in range(40)]
    text = ask(*documents, max_tokens=600)
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 40
    assert count(text) <= 600


def test_a_folder_is_led_by_its_readme() -> None:
    """A folder's summary leads with its README's sentence, then bullets; tests and data come last."""
    text = ask(
        Text("You merge summaries.\nSummarise: pkg/"),
        summary("pkg/README.md", "Relay: A server that keeps mail. It is small."),
        summary("pkg/config.json", "A JSON object of 3 keys.\nKeys: `a`, `b`, `c`."),
        summary("pkg/test_core.py", "Tests of `core`: 40 test cases."),
        summary("pkg/core.py", "Keeps the mail.\nClasses: `Store` (All mail), `Index`."),
        summary("pkg/net/", "Talks to the network. Holds 2 Python files.\n\n- **a.py**: Sends.\n- **b.py**: Receives."),
    )
    assert text.startswith("Relay: A server that keeps mail. Holds 4 files")
    bullets = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", text, re.MULTILINE)
    assert bullets[0] in {("core.py", "Keeps the mail."), ("net/", "Talks to the network.")}
    assert {name for name, _ in bullets[-2:]} == {"test_core.py", "config.json"}


def test_a_folder_without_readme_names_its_main_parts() -> None:
    """Where nobody speaks for a folder its lead is made of its children's sentences."""
    text = ask(
        Text("Summarise: pkg/"),
        summary("pkg/a.py", "Sends mail to other hosts.\nFunctions: `send`."),
        summary("pkg/b.py", "Parses configuration files.\nFunctions: `load`."),
    )
    assert text.startswith("Contains `a.py` (Sends mail to other hosts) and `b.py` (Parses configuration files).")


def test_folders_of_folders_do_not_repeat_themselves() -> None:
    """Six levels up, a sentence still stands once and the text has not grown."""
    text = ask(Text("Summarise: f/"), *(summary(f"f/m{n}.py", f"Purpose number {n} of many.") for n in range(9)))
    for level in range(6):
        name = f"{'x/' * (6 - level)}"
        text = ask(
            Text(f"Summarise: {name}"), summary(f"{name}y/", text), summary(f"{name}z.py", "Sorts letters by size.")
        )
        assert text.count("Purpose number 0") <= 2
        assert count(text) < 150


def test_partial_summaries_of_one_folder_are_joined() -> None:
    """Groups of a large folder's children, each summarised under the folder's name, become one list."""
    groups = [
        ask(
            Text("Summarise: pkg/"),
            *(summary(f"pkg/{part}{n}.py", f"Does {part}{n} for the {n}th time.") for n in range(4)),
        )
        for part in ("read", "write")
    ]
    text = ask(Text("Summarise: pkg/"), *(summary("pkg/", group) for group in groups))
    assert "Holds 8 Python files." in text
    assert {f"{part}{n}.py" for part in ("read", "write") for n in range(4)} <= set(re.findall(r"\w+\.py", text))


def test_the_pieces_of_a_file_become_one_outline() -> None:
    """Listings are joined by heading, without repeats."""
    text = ask(
        Text("Summarise: big.py"),
        summary("big.py", "Does much.\nClasses: `A` (First), `B`.\nImports: `os`."),
        summary("big.py", "Classes: `B` (Second), `C`.\nFunctions: `f`."),
    )
    assert text == "Does much.\nClasses: `A` (First), `B` (Second), `C`.\nFunctions: `f`.\nImports: `os`."


def test_the_definition_asked_for_comes_first() -> None:
    """A question that names an identifier is answered by its definition, with path and line."""
    other = Document("use.py", "x = retry_after(header)\n")
    text = ask(Text("Answer."), other, Document("queue.py", QUEUE), Question("What does `retry_after` do?"))
    best = read(text)[0]
    assert (best.path, best.line) == ("queue.py", 12)
    assert best.text.startswith("def retry_after(header):")


def test_lines_count_from_the_document() -> None:
    """A later piece of a file gives the file's own line numbers."""
    text = ask(Document("a.py", "\ndef wanted(): ...\n", first_line=101), Question("Where is wanted() defined?"))
    assert "a.py:102: def wanted(): ..." in text


def test_no_passage_is_said_plainly() -> None:
    """A question that nothing answers gets the one agreed line, in maps and in reduces."""
    assert ask(Document("queue.py", QUEUE), Question("quantum chromodynamics")) == NONE
    assert ask(summary("a", NONE), summary("b", NONE), Question("quantum chromodynamics")) == NONE


def test_passages_merge_by_score() -> None:
    """A reduce keeps the best passages of all children, each once, best first."""
    asked = Question("How is the queue bounded?")
    below = [ask(Document(f"{n}.py", f"{'# the queue' if n else '# the bounded queue'}\n"), asked) for n in range(3)]
    merged = read(
        ask(Text("Summarise: ./"), *(summary(str(n), text) for n, text in enumerate([*below, below[0]])), asked)
    )
    assert merged[0].path == "0.py"
    assert [passage.score for passage in merged] == sorted((passage.score for passage in merged), reverse=True)
    assert len(merged) == len({(passage.path, passage.line) for passage in merged})


def test_a_bare_question_is_answered_honestly() -> None:
    """Without documents the reply says what the provider is."""
    assert "extractive" in ask(Text("What is the capital of France?"))
    assert "no documents" in ask(Question("Why?"))


def test_a_plain_text_gives_its_central_sentences() -> None:
    """A long text without documents is answered with sentences of its own."""
    text = " ".join(f"The relay number {n} keeps the mail of the house {n * 7}." for n in range(12))
    assert all(sentence in text for sentence in ask(Text(text)).split(". ")[:-1])


def test_the_reply_tells_who_answered_and_what_it_used() -> None:
    """Model, usage and notice are plain, and the same request gives the same reply."""
    request = ChatRequest("extractive", (Message("user", (Document("queue.py", QUEUE),)),))
    reply = answer(request)
    assert reply.model == MODEL == "embedded/extractive"
    assert reply.usage.output_tokens == count(reply.text)
    assert reply.usage.input_tokens > count(QUEUE)
    assert "no language model" in NOTICE
    assert answer(request) == reply


def test_stop_texts_end_the_answer() -> None:
    """The reply ends before a stop text."""
    request = ChatRequest("x", (Message("user", (Document("queue.py", QUEUE),)),), stop=("Classes",))
    assert "Classes" not in answer(request).text


def test_threads_may_share_the_provider() -> None:
    """Parsers are kept apart by thread."""
    request = ChatRequest("x", (Message("user", (Document("queue.py", QUEUE * 20),)),))
    with ThreadPoolExecutor(8) as pool:
        assert len({reply.text for reply in pool.map(answer, [request] * 64)}) == 1


_wild = st.text(st.characters(), max_size=120) | st.sampled_from(
    [
        QUEUE,
        "[" * 5000,
        "## x\n",
        "<a>" * 500,
        "`" * 99,
        "- **a**: b.",
        "[0.50] a:1: b",
        '{"a": [',
        "\\" * 500,
        "/*",
        "'''",
    ]
)
_paths = _wild | st.sampled_from(
    [
        "a.py",
        "b.md",
        "c.json",
        "d.rs",
        "e/",
        "./",
        "f.html",
        "g.sh",
        "h.rst",
        "i.csv",
        "j.xml",
        "k.toml",
        "l.c",
        "m.tsx",
    ]
)
_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, _wild | _paths.map("Summarise: {}".format)),
    st.builds(Question, _wild),
    st.builds(Document, _paths, _wild, st.integers(-5, 10**6), st.sampled_from(["source", "summary"])),
)
_messages = st.builds(
    Message, st.sampled_from(["system", "user", "assistant"]), st.lists(_parts, max_size=5).map(tuple)
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_messages, max_size=3).map(tuple), st.integers(1, 400), st.lists(_wild, max_size=2).map(tuple))
def test_any_request_gets_a_reply_within_its_tokens(
    messages: tuple[Message, ...], max_tokens: int, stop: tuple[str, ...]
) -> None:
    """Whatever stands in a request, the provider answers and keeps the bound."""
    reply = answer(ChatRequest("x", messages, max_tokens=max_tokens, stop=stop))
    assert count(reply.text) <= max_tokens
    assert reply.usage.output_tokens <= max_tokens
