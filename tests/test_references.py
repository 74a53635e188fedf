"""Tests of references to the environment, and of the hints for mistyped words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.config import Account, Candidate, Config, Route
from understudy.protocols.errors import ConfigError
from understudy.protocols.references import flaw_of_key, flaw_of_url, missing, names, parse, resolve
from understudy.protocols.suggest import did_you_mean

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)


@given(NAMES, st.sampled_from(["${%s}", "env.%s", "os.environ/%s"]))
def test_three_spellings_mean_the_same(name: str, spelling: str) -> None:
    """Each spelling is a reference to its variable, and resolves to its value."""
    text = spelling % name
    reference = parse(text)
    assert reference is not None
    assert (reference.name, reference.text) == (name, text)
    assert names(text) == (name,)
    assert resolve(text, {name: "value"}) == "value"


@pytest.mark.parametrize(
    "text", ["", "X", "$X", "${X", "${}", "${1X}", "${X:-y}", "env.", "env.X.Y", "a ${X}", "env.X Y"]
)
def test_other_texts_are_not_whole_references(text: str) -> None:
    """What only looks like a reference is none."""
    assert parse(text) is None


def test_references_inside_a_longer_text() -> None:
    """`${X}` is replaced inside a text, in one pass: a value that looks like a reference stays as it is."""
    assert resolve("http://${HOST}:${PORT}/v1", {"HOST": "h", "PORT": "1"}) == "http://h:1/v1"
    assert resolve("${A}-${B}", {"A": "${B}", "B": "b"}) == "${B}-b"
    assert names("${A} and ${B}") == ("A", "B")
    assert resolve("no reference, env.X", {}) == "no reference, env.X"


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}])
def test_unset_variable_is_named(environ: dict[str, str]) -> None:
    """A variable that is not set, or empty, is named together with the way to set it."""
    with pytest.raises(ConfigError, match=r"environment variable KEY is not set: .* export KEY="):
        resolve("${KEY}", {**environ, "OTHER": "secret"})


def test_missing_lists_every_reference_without_a_variable() -> None:
    """All texts of an account are looked at, and only the accounts that the given routes reach."""
    config = Config(
        accounts={
            "a": Account(
                base_url="http://${HOST}/v1",
                api_key="env.KEY",
                organization="${ORG}",
                headers={"X": "y ${TEAM}"},
            ),
            "b": Account(api_key="${OTHER}"),
        },
        models={
            "first": Route(candidates=(Candidate(account="a", model="m"),)),
            "second": Route(
                candidates=(Candidate(account="b", model="m"), Candidate(account="embedded", model="extractive"))
            ),
        },
    )
    assert [(it.where, it.name) for it in missing(config, {"ORG": "o"})] == [
        ("accounts.a.base_url", "HOST"),
        ("accounts.a.api_key", "KEY"),
        ("accounts.a.headers.X", "TEAM"),
        ("accounts.b.api_key", "OTHER"),
    ]
    assert [it.name for it in missing(config, {}, routes=["second"])] == ["OTHER"]
    assert missing(config, {"OTHER": "x"}, routes=["second"]) == []
    assert str(missing(config, {}, routes=["second"])[0]).startswith("accounts.b.api_key: environment variable OTHER")
    assert missing(Config(), {}) == []


def test_literals_have_a_flaw_and_references_have_none() -> None:
    """A literal key is refused; the reason never repeats it."""
    assert flaw_of_key("${X}") == flaw_of_key("env.X") == ""
    assert "literal" in flaw_of_key("sk-planted-0001")
    assert "sk-planted" not in flaw_of_key("sk-planted-0001")
    assert "can't" not in flaw_of_key("${X")
    assert flaw_of_url("${BASE}/v1") == flaw_of_url("https://host/v1") == flaw_of_url("http://[::1]:1/v1") == ""
    assert flaw_of_url("ftp://host")


@given(st.text(max_size=30), st.lists(st.text(max_size=10)))
def test_suggestions_are_always_known_words(word: str, known: list[str]) -> None:
    """A hint names a known word, or there is none."""
    hint = did_you_mean(word, known)
    assert hint == "" or any(f" (did you mean {it!r}?)" == hint for it in known)


def test_near_words_are_suggested() -> None:
    """Transposed, doubled, cut and wrongly cased words are found; far ones are not."""
    known = ["accounts", "models", "max_cost"]
    for word in ("acounts", "account", "Accounts", "accuonts"):
        assert did_you_mean(word, known) == " (did you mean 'accounts'?)"
    assert did_you_mean("zebra", known) == ""


@pytest.mark.parametrize("value", ["sk-planted\n", "sk-planted\r\n", " sk-planted", "sk-plänted", "sk-\x00planted"])
def test_what_no_header_may_hold_is_refused_by_its_name(value: str) -> None:
    """A line break at the end of a key would come back in an HTTP library's error; it is told without the value."""
    with pytest.raises(ConfigError, match="KEY holds a line break") as caught:
        resolve("Bearer ${KEY}", {"KEY": value})
    assert "planted" not in str(caught.value)
    config = Config(
        accounts={"a": Account(api_key="${KEY}")}, models={"m": Route(candidates=(Candidate(account="a", model="x"),))}
    )
    [told] = missing(config, {"KEY": value})
    assert str(told).startswith("accounts.a.api_key: environment variable KEY holds")
    assert "planted" not in str(told)
