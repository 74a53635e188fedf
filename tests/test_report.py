"""Tests of the report: numbers that add up, states, and files that can't be turned against their reader."""

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.cluster.report import html, markdown
from understudy.cluster.report.build import Facts, build
from understudy.cluster.report.write import write
from understudy.protocols.digest import Chunk, DigestPlan, Node, Pack, Skipped, SourceFile, Summary
from understudy.protocols.errors import UsageError
from understudy.protocols.report import Bill, ModelBill, Report, total

FACTS = Facts(title="sample", started="2026-11-21T10:00:00+00:00", seconds=8.25, version="0.1.0")
BILL = total(
    [
        ModelBill(model="a/cheap", calls=3, attempts=4, input_tokens=100, output_tokens=10, cost="0.10"),
        ModelBill(model="b/dear", calls=1, attempts=1, input_tokens=50, output_tokens=5, cost="0.205"),
        ModelBill(model="c/unknown", calls=1, attempts=1, input_tokens=1, output_tokens=1, cost=None),
    ]
)


class Planner:
    """Builds a plan from folders: names to a number of chunks (a file) or to a folder of the same kind."""

    def __init__(self, tree: dict[str, object], per_pack: int = 2) -> None:
        self.files: list[SourceFile] = []
        self.packs: list[list[Chunk]] = []
        self.nodes: list[Node] = []
        self.per_pack = per_pack
        self.folder(tree, "")

    def folder(self, tree: dict[str, object], path: str) -> int:
        children = []
        for name, inside in tree.items():
            if isinstance(inside, dict):
                children.append(self.folder(inside, f"{path}{name}/"))
            else:
                assert isinstance(inside, int)
                children.append(self.file(path + name, inside))
        return self.node(Node(id=len(self.nodes), kind="folder", path=path or "./", children=tuple(children)))

    def file(self, path: str, parts: int) -> int:
        self.files.append(SourceFile(path=path, size=10 * parts, lines=parts, tokens=7 * parts, language="python"))
        leaves = [self.leaf(path, number, parts) for number in range(1, parts + 1)]
        if parts == 1:
            return leaves[0]
        return self.node(Node(id=len(self.nodes), kind="file", path=path, children=tuple(leaves)))

    def leaf(self, path: str, number: int, of: int) -> int:
        chunk = Chunk(path, number, of, number, number, 7, "python", "x\n")
        shares = of == 1 and self.packs and self.packs[-1][-1].of == 1 and len(self.packs[-1]) < self.per_pack
        if not shares:
            self.packs.append([])
        self.packs[-1].append(chunk)
        pack, place = len(self.packs) - 1, len(self.packs[-1]) - 1
        return self.node(Node(id=len(self.nodes), kind="chunk", path=path, pack=pack, place=place))

    def node(self, node: Node) -> int:
        self.nodes.append(node)
        return node.id

    def plan(self, skipped: tuple[Skipped, ...] = ()) -> DigestPlan:
        packs = tuple(Pack(id=n, chunks=tuple(it), tokens=7 * len(it)) for n, it in enumerate(self.packs))
        return DigestPlan(root="sample", files=tuple(self.files), skipped=skipped, packs=packs, nodes=tuple(self.nodes))


def answers(plan: DigestPlan, text: str = "About it.") -> dict[int, Summary]:
    """An answer for each node; folders of one entry pass it through, without a model."""
    single = {it.id for it in plan.nodes if it.kind == "folder" and len(it.children) == 1 and it.path != "./"}
    return {it.id: Summary(node=it.id, text=text, model="" if it.id in single else "a/cheap") for it in plan.nodes}


def find(report: Report, path: str) -> int:
    """The place of a path's entry."""
    return next(place for place, entry in enumerate(report.entries) if entry.path == path)


SKIPPED = (
    Skipped(path="x.png", reason="binary"),
    Skipped(path="node_modules/", reason="vendored", detail="9 files"),
)
TREE: dict[str, object] = {
    "a.py": 1,
    "b.py": 1,
    "c.py": 1,
    "big.py": 3,
    "src": {"deep": {"d.py": 1, "e.py": 1}},
}


def sample() -> Report:
    """A report in which everything went well."""
    plan = Planner(TREE).plan(SKIPPED)
    return build(plan, answers(plan), BILL, FACTS)


def test_states_and_sums() -> None:
    """Files of a shared call are packed, others summarised; folders add up what is below them."""
    report = sample()
    assert report.check() == ()
    assert report.complete
    assert (report.accounting.text_files, report.accounting.summarised, report.accounting.packed) == (6, 2, 4)
    assert report.accounting.reasons == {"binary": 1, "vendored": 1}
    root, src, deep = (report.entries[find(report, path)] for path in ("./", "src/", "src/deep/"))
    assert (root.files, root.tokens, root.lines) == (6, 56, 8)
    assert (src.state, deep.state, src.files) == ("passed", "summarised", 2)
    assert [report.entries[child].path for child in root.children] == [
        "a.py",
        "b.py",
        "c.py",
        "big.py",
        "src/",
    ]
    assert report.entries[find(report, "big.py")].parts == 3


def test_failures_are_named_once_with_their_cause() -> None:
    """A lost chunk leaves its file incomplete; a lost file fails; a folder of lost files isn't named."""
    plan = Planner(TREE).plan()
    given_answers = answers(plan)
    chunk = next(it for it in plan.nodes if it.path == "big.py")
    for node in plan.nodes:
        if node.id == chunk.id or node.path.startswith("src/") or node.path == "a.py":
            given_answers[node.id] = Summary(node=node.id, text="", error="server\nfault 503")
    report = build(plan, given_answers, Bill(), FACTS)
    assert report.check() == ()
    assert [(it.path, it.cause) for it in report.failures] == [
        ("a.py", "server fault 503"),
        ("big.py (lines 1-1)", "server fault 503"),
        ("src/deep/d.py", "server fault 503"),
        ("src/deep/e.py", "server fault 503"),
    ]
    big = report.entries[find(report, "big.py")]
    assert (big.state, big.error) == ("summarised", "1 of 3 parts are missing: server fault 503")
    assert report.entries[find(report, "src/")].failed == 2
    assert report.accounting.failed == 3
    assert not report.complete


def test_stopped_digest_accounts_for_what_was_not_read() -> None:
    """After a stop, files without an answer have failed with that as their cause."""
    plan = Planner(TREE).plan(SKIPPED)
    kept = {key: value for key, value in answers(plan).items() if plan.nodes[key].path == "a.py"}
    report = build(plan, kept, Bill(), FACTS._replace(cancelled=True))
    assert report.check() == ()
    assert (report.accounting.packed, report.accounting.failed) == (1, 5)
    assert {it.cause for it in report.failures if it.path != "./"} == {"the digest was stopped before it was read"}
    assert "Stopped before it was finished" in markdown.render(report)


def test_empty_answer_is_a_failure() -> None:
    """A text of nothing but space isn't a summary."""
    plan = Planner({"a.py": 1}).plan()
    report = build(plan, answers(plan, text=" \n"), Bill(), FACTS)
    assert [it.cause for it in report.failures] == ["the answer was empty"]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.integers(1, 3),
        lambda below: st.dictionaries(st.text("abc", min_size=1, max_size=2), below, min_size=1, max_size=4),
        max_leaves=25,
    ).filter(lambda tree: isinstance(tree, dict)),
    st.integers(1, 4),
    st.sets(st.integers(0, 60)),
    st.sets(st.integers(0, 60)),
)
def test_numbers_always_add_up(tree: dict[str, object], per_pack: int, lost: set[int], silent: set[int]) -> None:
    """Whatever the tree and whatever is lost, each file is counted once and each failed one has a cause."""
    plan = Planner(tree, per_pack).plan(SKIPPED)
    given_answers = {key: value for key, value in answers(plan).items() if key not in silent}
    for key in lost & given_answers.keys():
        given_answers[key] = Summary(node=key, text="", error="lost")
    report = build(plan, given_answers, BILL, FACTS)
    assert report.check() == ()
    failed = {it.path for it in report.entries if it.kind == "file" and it.state == "failed"}
    assert failed <= {it.path for it in report.failures}
    assert len({it.path for it in report.failures}) == len(report.failures)


def test_check_finds_what_does_not_add_up() -> None:
    """A count that was changed is found."""
    report = sample()
    wrong = msgspec.structs.replace(report, tokens=1)
    assert wrong.check() == ("tokens by language: 1 and 56", "tokens of the files: 1 and 56")


def test_bill_sums_exactly_and_says_what_is_unknown() -> None:
    """Costs add up as decimals; a model without a price is named and never counted as free."""
    assert (BILL.calls, BILL.attempts, BILL.input_tokens, BILL.cost) == (5, 6, 151, "0.305")
    assert BILL.unpriced == ("c/unknown",)
    assert [row.model for row in BILL.models] == ["b/dear", "a/cheap", "c/unknown"]
    assert total([BILL.models[-1]]).cost is None
    open_ones = [ModelBill("a", 1, 2, 3, 4, "0.10", "0.0025"), ModelBill("b", 0, 1, 0, 0, None, "0.05")]
    bill = total(open_ones, hedges=1)
    assert (bill.cost, bill.open_cost, bill.hedges) == ("0.10", "0.0525", 1)
    assert total([]).cost == "0.00"
    assert "`c/unknown` | 1 | 1 | 1 | 1 | ?" in markdown.render(sample())


class Page(HTMLParser):
    """Collects elements and attributes, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = tag if tag in self.inside else ""
        if self.open:
            self.inside[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self.open = "" if tag in self.inside else self.open

    def handle_data(self, data: str) -> None:
        if self.open:
            self.inside[self.open][-1] += data


NASTY = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]><svg/onload=alert(1)>",
    "{{script}} {{data}} \\1",
    "![x](http://evil.example/x.png)",
    "\u2028\u2029\x1b[31m",
    "| a | b | ``` `",
]


def nasty(text: str) -> Report:
    """A report in which everything that comes from outside is `text`."""
    bill = total([ModelBill(text.encode("utf-8", "replace").decode(), 1, 1, 1, 1, None)])
    plan = Planner({f"{text}.py".replace("/", "_"): 1, "b.py": 2}).plan(
        (Skipped(path=text, reason="binary", detail=text),)
    )
    some = answers(plan, text)
    some[0] = Summary(node=0, text="", error=text)
    return build(plan, some, bill, FACTS._replace(title=text, question=text))


@pytest.mark.parametrize("text", NASTY)
def test_page_holds_text_as_data_only(text: str) -> None:
    """No text of a digest becomes an element or a script of the page; the data comes back unchanged."""
    report = nasty(text)
    page, clean = Page(html.render(report)), Page(html.render(sample()))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
    assert page.inside["script"][1:] == clean.inside["script"][1:]
    assert page.inside["style"] == clean.inside["style"]
    assert msgspec.json.decode(page.inside["script"][0], type=Report) == report


def test_page_is_self_contained() -> None:
    """The page loads nothing: no address, no element that fetches, and a policy that would forbid it."""
    text = html.render(sample())
    page = Page(text)
    assert not re.search(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text.replace("</", ""))
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "img", "iframe", "object", "embed", "base", "form"})
    assert not any({"src", "srcset", "style"} & attributes.keys() for _, attributes in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not re.search(r"url\(|@import", page.inside["style"][0])
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page.inside["script"][1])
    assert "default-src 'none'" in text


def test_page_is_accessible_at_its_bones() -> None:
    """Language, title, landmarks, one h1, a label for the search, and ids that scripts and links rely on."""
    page = Page(html.render(sample()))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == tags.count("main") == 1
    assert dict(page.tags)["html"] == {"lang": "en"}
    assert "label" in tags
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'\$\("([a-z]+)"\)', page.inside["script"][1]))
    assert wanted <= set(ids)


@pytest.mark.parametrize("text", NASTY)
def test_markdown_opens_no_markup(text: str) -> None:
    """Outside of code spans and fences no tag is opened, no image loaded, no control character left."""
    document = markdown.render(nasty(text))
    bare = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", document)
    assert not re.search(r"(?<!\\)<[A-Za-z/!?]|(?<!\\)!\[", bare)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", document)


def test_markdown_reads_well() -> None:
    """Headings of answers become bold, dunder names code, and passages quoted lines under their reference."""
    block = markdown.text_block("# Title\nSee __init__.py.\n\n[9.3] a/b.py:3: def f():\n    pass\n[1.0] c.py:1: x")
    assert block == "**Title**\nSee `__init__.py`.\n\n`a/b.py:3`\n\n    def f():\n        pass\n\n`c.py:1`\n\n    x"
    assert [markdown.duration(it) for it in (8.25, 48.4, 188)] == ["8.2 s", "48 s", "3 min 08 s"]


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    """Three files, the JSON with the same content, nothing else left behind, other people's files kept."""
    folder = tmp_path / "new" / "understudy-digest"
    report = sample()
    paths = write(report, folder)
    assert [path.name for path in paths] == ["report.md", "report.html", "report.json"]
    assert msgspec.json.decode(paths[2].read_bytes(), type=Report) == report
    (folder / "mine.txt").write_text("kept")
    write(msgspec.structs.replace(report, title="second"), folder)
    assert json.loads(paths[2].read_text())["title"] == "second"
    assert sorted(it.name for it in folder.iterdir()) == [
        "mine.txt",
        "report.html",
        "report.json",
        "report.md",
    ]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be is told in one line."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match=r"can't be written: .*; give another folder with --out"):
        write(sample(), tmp_path / "out")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """Lone surrogates, which such names are read as, become escapes; all three files can be written."""
    assert "caf\\udce9.py" in write(nasty("caf\udce9"), tmp_path)[2].read_text().replace("\\\\", "\\")


def test_large_report_is_quick(tmp_path: Path) -> None:
    """5,000 files with summaries of usual length are built and written within 5 s."""
    folders: dict[str, object] = {f"d{n}": {f"f{it}.py": 1 for it in range(50)} for n in range(100)}
    plan = Planner(folders, per_pack=5).plan()
    text = "A module that does one thing, with `code` and **bold** words. " * 10
    begin = time.perf_counter()
    report = build(plan, answers(plan, text), BILL, FACTS)
    write(report, tmp_path)
    assert time.perf_counter() - begin < 5
    assert report.accounting.text_files == 5000
    assert report.check() == ()
