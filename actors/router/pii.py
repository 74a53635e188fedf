"""Personal data and secrets in a text, by form and check digit.

Kinds: `email`, `phone`, `card` (13 to 19 digits that pass Luhn's check, ISO/IEC 7812-1), `iban` (ISO 13616, mod 97),
`ssn` (United States, in groups), `secret` (keys of known providers, JSON web tokens, private keys in PEM).
Names, addresses, IP addresses and passports are not found: by form alone they can't be told from ordinary text.

**False positives.** A hit only narrows who may answer, a miss sends personal data away, so what looks like it counts.
Source code is full of numbers and of `@`, so a bare run of digits is never a phone number (it needs a `+`,
or groups with separators), a card or IBAN must pass its check, a social security number must have its separators, and
addresses at reserved domains (`example.com`, `.test`, `.invalid`, `.localhost`, `.local`: RFC 2606, RFC 6762) or of
the form `git@host` don't count. An author's address in a source file does: it is somebody's.

**Time.** Three passes at the speed of `bytes.translate` and `find` decide for a text that holds nothing: 5 µs for 2 kB
(an alternation of the same patterns by `re` takes 480 µs). Only where they see something do regular expressions look,
each bounded in length, so that a megabyte of the worst repetition takes less than a second.
"""

import re
import string
from collections.abc import Callable, Iterator
from typing import Final

from ...protocols.chat import ChatRequest, Message, ToolCall, render

_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_SEPARATORS: Final = b" -.()/\t"
_SEVEN: Final = b"0" * 7
_TOKEN_CHARS: Final = (string.ascii_letters + string.digits + "_-+/=").encode()
_TOKENS: Final = bytes(0x78 if byte in _TOKEN_CHARS else 0x20 for byte in range(256))
_LONG: Final = b"x" * 20  # the shortest key that is looked for has 20 characters

_DOMAIN: Final = re.compile(r"@((?:[^\W_][\w\-]{0,62}\.){1,8}[^\W\d_]{2,24})(?!\w)")
_LOCAL: Final = re.compile(r"[\w.%+\-]{1,64}\Z")
_RESERVED: Final = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|org|net))?|test|invalid|localhost|local)\Z", re.IGNORECASE
)
_CARD: Final = re.compile(r"(?<![\w.])[2-6]\d{12,18}(?!\w)")
_CARD_GROUPS: Final = re.compile(r"(?<!\d)(?:\d{4}([ \-]?)\d{4}\1\d{4}\1\d{1,7}|3\d{3}[ \-]?\d{6}[ \-]?\d{4,5})(?!\d)")
_SSN: Final = re.compile(r"(?<![\d\-])(?!000|666|9)\d{3}([\- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\d\-])")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_PHONE: Final = re.compile(
    r"(?<![\w+])\+[1-9]\d{0,2}[ .\-/]?(?:\(0?\d{1,4}\)[ .\-/]?)?\d{1,5}(?:[ .\-/]?\d{2,5}){1,5}(?!\d)"  # +49 30 1234567
    r"|(?<![\w.\-])(?:1[ .\-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}[ .\-])\d{3}[ .\-]\d{4}(?![\w\-])"  # (212) 555-0123
    r"|(?<![\w.\-])0[1-9](?:[ .]\d{2}){4}(?!\w)"  # 06 12 34 56 78
    r"|(?<![\w.\-])0\d{2,4}[ \-/]\d{3,4}[ \-]?\d{3,5}(?!\w)"  # 020 7946 0958, 030/1234567
)
_SECRET: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_\-]{17,200}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}"
    r"|glpat-[A-Za-z0-9_\-]{20,}"
    r"|xox[abeoprs]-[A-Za-z0-9\-]{15,}"
    r"|AIza[A-Za-z0-9_\-]{35}"
    r"|(?:sk|rk)_live_[A-Za-z0-9]{16,}"
    r"|hf_[A-Za-z0-9]{30,}"
    r"|eyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\."
    r")"
    r"|-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----"
)
_DENSE: Final = re.compile(r"[0-9][0-9 \t().\-/]{5,64}[0-9]")
_HARMLESS: Final = re.compile(r"(?:19|20)\d\d-\d\d-\d\d(?: \d\d)?|\d{1,3}(?:\.\d{1,3}){3}")
_TOUCHING: Final = frozenset(string.ascii_letters + "+(")
_BEFORE: Final = 24
"""Characters before a zone that may belong to its number: a sign, an area code, an IBAN's country and bank."""
_BEHIND: Final = 40
"""Characters behind it: the rest of an IBAN."""

_PREFIXES: Final = ("sk-", "AKIA", "ASIA", "gh", "glpat-", "xox", "AIza", "_live_", "hf_", "eyJ", "PRIVATE KEY-----")
_BLANKS: Final = tuple(zip("\u00a0\u202f\u2007\u2009\u2010\u2011\u2013", "    ---", strict=True))


def holds(text: str) -> bool:
    """True when a text holds personal data or a secret of any kind; stops at the first."""
    return next(_kinds(text), "") != ""


def kinds(text: str) -> frozenset[str]:
    """All kinds of personal data and secrets in a text; empty for most."""
    return frozenset(_kinds(text))


def gate(request: ChatRequest) -> str:
    """Why a request must not leave for an account that is not private; empty when it may.

    It looks at every word of the request, not at a part: system messages, documents, and what tools were asked and
    said. Pictures are not looked at. The text names the kinds and never repeats what was found.
    """
    found = request_kinds(request)
    return f"holds personal data ({', '.join(sorted(found))})" if found else ""


def request_kinds(request: ChatRequest) -> frozenset[str]:
    """The kinds that any part of a request holds."""
    return frozenset(kind for text in _texts(request.messages) for kind in _kinds(text))


def request_holds(request: ChatRequest) -> bool:
    """True when any part of a request holds personal data or a secret."""
    return any(holds(text) for text in _texts(request.messages))


def _texts(messages: tuple[Message, ...]) -> Iterator[str]:
    for message in messages:
        for part in message.parts:
            yield part.arguments if isinstance(part, ToolCall) else render(part)


def _kinds(text: str) -> Iterator[str]:
    if "@" in text and _has_email(text):
        yield "email"
    if not text.isascii():  # `replace` by one is 20 times faster than `translate` where none of them occurs
        for code, plain in _BLANKS:
            text = text.replace(code, plain)
    data = text.encode(errors="replace")
    if _SEVEN in data.translate(_DIGITS, _SEPARATORS):
        yield from _number_kinds(text)
    if (_LONG in data.translate(_TOKENS) or "-----BEGIN" in text) and _has_secret(text):
        yield "secret"


def _has_secret(text: str) -> bool:
    return any(prefix in text for prefix in _PREFIXES) and _SECRET.search(text) is not None


def _has_email(text: str) -> bool:
    for found in _DOMAIN.finditer(text):
        local = _LOCAL.search(text, max(0, found.start() - 64), found.start())
        if local and local[0].lower() != "git" and not _RESERVED.search(found[1]):
            return True
    return False


def _number_kinds(text: str) -> Iterator[str]:
    """The kinds of numbers, each told once. Only where digits stand close together does anything look closer."""
    left = dict(_NUMBERS)
    for start, end in _zones(text):
        for kind, has in tuple(left.items()):
            if has(text, start, end):
                del left[kind]
                yield kind


def _zones(text: str) -> Iterator[tuple[int, int]]:
    """Where numbers may stand: what lies close together is one zone.

    A run of digits without a sign, a separator or a letter before it can only be a card, and dates and addresses of
    hosts are neither: ordinals, sizes and times in source code are passed over so for less than 1 µs each.
    """
    first = last = -1
    for found in _DENSE.finditer(text):
        start, end = found.span()
        if end - start < 13 and text[start:end].isdecimal() and not (start and text[start - 1] in _TOUCHING):
            continue
        if _HARMLESS.fullmatch(text, start, end):
            continue
        if first < 0:
            first = max(0, start - _BEFORE)
        elif start - _BEFORE > last:
            yield first, last
            first = start - _BEFORE
        last = min(len(text), end + _BEHIND)
    if first >= 0:
        yield first, last


def _has_card(text: str, start: int, end: int) -> bool:
    return any(_luhn(found) for found in (*_each(_CARD, text, start, end), *_each(_CARD_GROUPS, text, start, end)))


def _has_iban(text: str, start: int, end: int) -> bool:
    return any(_mod97(found) for found in _each(_IBAN, text, start, end))


def _has_ssn(text: str, start: int, end: int) -> bool:
    return _SSN.search(text, start, end) is not None


def _has_phone(text: str, start: int, end: int) -> bool:
    return any(7 <= sum(char.isdigit() for char in found) <= 15 for found in _each(_PHONE, text, start, end))


_NUMBERS: Final[tuple[tuple[str, Callable[[str, int, int], bool]], ...]] = (
    ("card", _has_card),
    ("iban", _has_iban),
    ("ssn", _has_ssn),
    ("phone", _has_phone),
)


def _each(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[str]:
    """Matches that may overlap: a number before a card's must not hide it."""
    found = pattern.search(text, start, end)
    while found:
        yield found[0]
        found = pattern.search(text, found.start() + 1, end)


def _luhn(text: str) -> bool:
    """Luhn's check of a card number; one digit repeated is none."""
    digits = [int(char) for char in text if char.isdecimal()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [2 * digit - 9 if digit > 4 else 2 * digit for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _mod97(text: str) -> bool:
    """ISO 13616: the first four characters to the end, letters as 10 to 35, modulo 97 is 1."""
    plain = text.replace(" ", "")
    return 15 <= len(plain) <= 34 and int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1
