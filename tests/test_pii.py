"""Personal data and secrets: what is found, what isn't, and that no text takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.router.pii import gate, holds, kinds
from understudy.protocols.chat import ChatRequest, Document, Message, Question, Text, ToolCall, ToolResult

FOUND = [
    ("write to bob.smith+x@corp.co.uk today", "email"),
    ("<Müller@firma.de>", "email"),
    ("info@münchen.de", "email"),
    ("call +49 30 1234567", "phone"),
    ("call +1 (212) 555-0123 now", "phone"),
    ("(212) 555-0123", "phone"),
    ("555-123-4567", "phone"),
    ("tel. 06 12 34 56 78", "phone"),
    ("020 7946 0958", "phone"),
    ("+49\u00a030\u00a01234567", "phone"),
    ("4111 1111 1111 1111", "card"),
    ("card 4111-1111-1111-1111.", "card"),
    ("5555555555554444", "card"),
    ("378282246310005", "card"),
    ("2024 4111 1111 1111 1111", "card"),
    ("GB29 NWBK 6016 1331 9268 19", "iban"),
    ("DE89370400440532013000", "iban"),
    ("my number is 078-05-1120", "ssn"),
    ("078 05 1120", "ssn"),
    ("key: sk-abcdefghijklmnopqrstuvwx", "secret"),
    ("AKIAIOSFODNN7EXAMPLE", "secret"),
    ("token ghp_abcdefghijklmnopqrstuvwxyz0123456789", "secret"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdef", "secret"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMII", "secret"),
]

NOT_FOUND = [
    "",
    "What is the capital of France?",
    "git clone git@github.com:org/repo.git",
    "mail admin@example.com or root@localhost or a@b.test",
    "@decorator\ndef f(x): return x @ y",
    "order 1700000000000 of 2024-01-02 10:22:33",
    "http://192.168.100.100:8000/v1 and v1.2.3.4567890",
    "x = 3.14159265358979",
    "0x1234567890abcdef deadbeef0123456789",
    "1,234,567,890 people",
    "ports 5432 6379 8080 9090 2021 2022",
    "4111 1111 1111 1112",
    "0000000000000000",
    "GB29 NWBK 6016 1331 9268 18",
    "900-12-3456 and 000-12-3456 and 123-00-4567",
    "class sk-learn: AKIA, ghp_ and eyJ are prefixes",
    "----------------------------------------",
]


@pytest.mark.parametrize(("text", "kind"), FOUND)
def test_what_is_found(text: str, kind: str) -> None:
    """Each form is found, alone and inside a longer text."""
    assert kinds(text) == {kind}
    assert holds(f"Dear team,\n{text}\nthanks")


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_is_not_found(text: str) -> None:
    """Ordinary text and source code with numbers, versions, reserved domains and wrong check digits holds nothing."""
    assert kinds(text) == frozenset()
    assert not holds(text)


@given(st.text(max_size=300) | st.text(alphabet="01459 -.+()@aeAk_\n", max_size=80))
def test_any_text_is_read_and_both_answers_agree(text: str) -> None:
    """No text raises, and `holds` is true exactly when there are kinds."""
    assert holds(text) == bool(kinds(text))


@given(st.integers(10**14, 10**15 - 1).map(lambda number: 4 * 10**15 + number % 10**15))
def test_cards_by_a_naive_check(number: int) -> None:
    """A 16-digit number that begins with 4 is a card exactly when Luhn's sum, written naively, ends in 0."""
    total = 0
    for place, char in enumerate(reversed(str(number))):
        digit = int(char) * (1 + place % 2)
        total += digit // 10 + digit % 10
    assert ("card" in kinds(f"pay {number} now")) == (total % 10 == 0)


ADVERSARIAL = {
    "at signs": "@" * 10**6,
    "local parts": "a" * 999_999 + "@",
    "domains": "@a." * 333_333,
    "hyphens": "x@" + "a-" * 500_000,
    "digits": "1" * 10**6,
    "spaced digits": "4 " * 500_000,
    "groups": "1111 " * 200_000,
    "phones": "234 " * 250_000,
    "plus": "+1 11 " * 160_000,
    "ibans": "AB12CCCC" * 125_000,
    "tokens": "eyJaaaaaaaaaaaaaaaa." * 50_000,
    "keys": "ghp_" * 250_000,
    "pem": "-----BEGIN " * 90_000,
    "blanks": "\u00a0" * 10**6,
}


@pytest.mark.parametrize("name", sorted(ADVERSARIAL))
def test_a_megabyte_that_was_made_to_take_long_does_not(name: str) -> None:
    """Time is linear: a megabyte of the worst repetition takes seconds at most, where backtracking would take days."""
    began = time.process_time()
    kinds(ADVERSARIAL[name])
    assert time.process_time() - began < 8.0


MAIL = "ask bob@corp.com"


@pytest.mark.parametrize(
    "message",
    [
        Message("system", (Text(MAIL),)),
        Message("user", (Text("x " * 50_000 + MAIL + " x" * 50_000),)),
        Message("user", (Document("a.txt", MAIL), Question("what?"))),
        Message("assistant", (ToolCall("1", "send", f'{{"to": "{MAIL}"}}'),)),
        Message("tool", (ToolResult("1", "find", MAIL),)),
    ],
)
def test_the_gate_looks_at_every_word(message: Message) -> None:
    """Wherever in a request it stands, the gate finds it, and its reason names the kind and not the address."""
    reason = gate(ChatRequest("m", (Message("user", (Text("hello"),)), message)))
    assert "email" in reason
    assert "bob" not in reason


def test_the_gate_lets_the_rest_pass() -> None:
    """A request without personal data has no reason to stay."""
    assert gate(ChatRequest("m", (Message("user", (Text("What is 2 + 2?"),)),))) == ""
