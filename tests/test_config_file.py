"""Tests of reading `understudy.yaml`: what is accepted, and the one line that each mistake becomes."""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.config_file import MAX_BYTES, load, parse, read_yaml, schema
from understudy.protocols.config import Config
from understudy.protocols.errors import ConfigError
from understudy.protocols.routes import BALANCES

DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"
SAMPLE = """\
x-quota: &quota {rpm: 500, tpm: 200_000}
accounts:
  openai:
    api_key: ${OPENAI_API_KEY}
    organization: env.OPENAI_ORG
    headers: {X-Team: "search ${TEAM}", anthropic-version: 2023-06-01}
    limits: {<<: *quota, concurrency: 64, window_s: 60, guard_s: 1.5}
    breaker: {failures: 5, rate: 0.5, window: 20, open_s: 15, open_max_s: 120}
    timeouts: {connect_s: 5, total_s: 120}
  local:
    kind: openai
    base_url: http://127.0.0.1:8000/v1
    api_key: null
models:
  fast:
    - {account: openai, model: gpt-4o-mini, window: 128000, price: {input: 0.15, output: 0.6, cached: 0.075}}
    - {account: local, model: llama}
    - {account: embedded, model: extractive}
attempts: {max_attempts: 6, per_candidate: 3, deadline_s: 300, backoff_s: 0.5, backoff_max_s: 20}
digest: {map_model: fast, reduce_model: fast, map_budget: 4000, reduce_budget: 12000}
max_cost: 2.5
"""

ACCOUNT = """\
accounts:
  openai:
    %s
models:
  fast:
    - account: openai
      model: gpt-4o-mini
"""


def mistake(text: str) -> str:
    """The line that a mistaken file becomes."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_sample_is_read() -> None:
    """A file that uses every key is read, with anchors, merges, underscores and dates that stay text."""
    config = parse(SAMPLE)
    openai = config.accounts["openai"]
    assert openai.limits.rpm == 500
    assert openai.limits.tpm == 200_000
    assert openai.limits.concurrency == 64
    assert openai.api_key == "${OPENAI_API_KEY}"
    assert openai.headers["anthropic-version"] == "2023-06-01"
    assert [it.account for it in config.models["fast"].candidates] == ["openai", "local", "embedded"]
    assert config.map_route == config.reduce_route == "fast"


def test_sample_fits_the_schema() -> None:
    """The JSON Schema is a valid one, accepts the full sample and refuses an unknown key."""
    jsonschema = pytest.importorskip("jsonschema")
    drawn = schema()
    jsonschema.Draft202012Validator.check_schema(drawn)
    judge = jsonschema.Draft202012Validator(drawn)
    assert drawn["title"] == "understudy.yaml"
    judge.validate({**parse(SAMPLE).model_dump(mode="json"), "x-anything": 1})
    assert not judge.is_valid({"acounts": {}})
    assert not judge.is_valid({"accounts": {"a": {"limits": {"rpm": 0}}}})


def test_every_key_of_the_schema_has_a_description() -> None:
    """An editor that uses the schema can explain each key."""
    drawn = schema()
    for name, part in [("", drawn), *drawn["$defs"].items()]:
        for key, value in part["properties"].items():
            assert value.get("description"), f"{name}.{key}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("limits: {rpmm: 5}", "3:14: accounts.openai.limits.rpmm: unknown key (did you mean 'rpm'?)"),
        ("limmits: {}", "3:5: accounts.openai.limmits: unknown key (did you mean 'limits'?)"),
        ("zzz: 1", "3:5: accounts.openai.zzz: unknown key"),
        (
            "limits: {rpm: 0}",
            "3:19: accounts.openai.limits.rpm: must be greater than 0: a quota of 0 would never send",
        ),
        ("limits: {rpm: -1}", "3:19: accounts.openai.limits.rpm: must be greater than 0"),
        ('limits: {rpm: "5"}', "3:19: accounts.openai.limits.rpm: must be a whole number, without quotes"),
        ("limits: {rpm: true}", "3:19: accounts.openai.limits.rpm: must be a whole number"),
        ("limits: {window_s: .nan}", "3:24: accounts.openai.limits.window_s: must be a finite number"),
        ("limits: 5", "3:13: accounts.openai.limits: must be a mapping"),
        (
            "kind: opnai",
            "3:11: accounts.openai.kind: must be 'openai', 'azure', 'anthropic', 'gemini' or 'embedded' (did you mean",
        ),
        ("base_url: foo", "3:15: accounts.openai.base_url: is not an http(s) URL"),
        ("base_url: http://h:x/", "3:15: accounts.openai.base_url: is not a URL"),
        ("headers: {v: 2}", "3:18: accounts.openai.headers.v: must be text; put it into quotes"),
        ("kind: azure", "2:3: accounts.openai.base_url: is missing: write https://NAME.openai.azure.com"),
        ("api_key: !!set {a}", "3:5: accounts.openai.api_key: must be text, a number, a list or a mapping"),
    ],
)
def test_mistake_in_an_account(line: str, message: str) -> None:
    """Each mistake is told with file, line, column, key, and a way to mend it."""
    assert mistake(ACCOUNT % line).startswith(f"understudy.yaml:{message}")


@pytest.mark.parametrize(
    "line",
    [
        "api_key: sk-planted-0001",
        "base_url: http://user:sk-planted-0001@host/v1",
        "base_url: https://host/v1?key=sk-planted-0001",
        "api_version: [sk-planted-0001]",
        "headers: {Authorization: Bearer sk-planted-0001}",
        "headers: {cf-aig-authorization: sk-planted-0001}",
        "headers: {Ocp-Apim-Subscription-Key: sk-planted-0001}",
        "headers: {X-Anything: Bearer sk-planted-0001}",
        "limits: {rpm: sk-planted-0001}",
        "kind: sk-planted-0001",
        "api_keyy: sk-planted-0001",
        "{api_key: sk-planted-0001, api_key: sk-planted-0001}",
        "api_key: 'sk-planted-0001",
        "api_key: [sk-planted-0001]",
    ],
)
def test_no_mistake_repeats_a_secret(line: str) -> None:
    """A key that was written into the file, in a right or wrong place, is refused and never printed."""
    assert "sk-planted-0001" not in mistake(ACCOUNT % line)


PLANTED = "sk-planted-0123456789abcdef0123456789"


def leaves(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of each value that is no mapping and no list."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [path for key, part in parts for path in leaves(part, (*at, key))]
    yield from below or [at]


def test_a_key_in_any_wrong_place_is_never_repeated() -> None:
    """Every value of the documented example in turn is a key that does not belong there."""
    example = read_yaml(DOCUMENT.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0], "x").plain
    places = list(leaves(example))
    told = [told_of(example, path) for path in places]
    assert not [path for path, text in zip(places, told, strict=True) if PLANTED in text]
    assert sum(map(bool, told)) > 40


def told_of(example: object, path: tuple[str | int, ...]) -> str:
    """What is said when the key stands at `path`; nothing where any text may."""
    planted = inner = json.loads(json.dumps(example))
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = PLANTED
    try:
        parse(json.dumps(planted))
    except ConfigError as error:
        return str(error)
    return ""


def test_literal_key_is_refused_with_the_way_out() -> None:
    """The line that refuses a literal key says what to write instead."""
    message = mistake(ACCOUNT % "api_key: sk-planted-0001")
    assert "${NAME}" in message
    assert "null for a server without keys" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "understudy.yaml: empty; "),
        ("# only a comment\n", "understudy.yaml: empty; "),
        ("- 1\n", "understudy.yaml:1:1: must be a mapping"),
        ("hello", "understudy.yaml:1:1: must be a mapping"),
        ("a: [1\n", "understudy.yaml:2:1: not YAML: "),
        ("a: \tb: c: d", "understudy.yaml:1:"),
        ("\x00", "understudy.yaml: not YAML: special characters are not allowed"),
        ("a: 1\n---\nb: 1\n", "understudy.yaml:2:1: not YAML: "),
        ("a: *no", "understudy.yaml:1:4: not YAML: found undefined alias"),
        ("a: &x [*x]", "understudy.yaml:1:1: a: unknown key"),
        ("x-a: " + "[" * 40 + "]" * 40, "understudy.yaml: nested too deeply"),
        ("[[" * 3000, "understudy.yaml: not YAML: nested too deeply"),
        ("max_cost: 1\nmax_cost: 2\n", "understudy.yaml:2:1: duplicate key 'max_cost'; keep one"),
        ("modells: {}", "understudy.yaml:1:1: modells: unknown key (did you mean 'models'?)"),
        ("models: {}", "understudy.yaml:1:9: models: is empty"),
        ("models: {a: []}", "understudy.yaml:1:13: models.a: has no candidates"),
        ("models: {a: }", "understudy.yaml:1:12: models.a: must be a list of candidates, or a mapping with candidates"),
        ("models: {a: {}}", "understudy.yaml:1:10: models.a.candidates: is missing"),
        ("models: {a: {candidates: []}}", "understudy.yaml:1:13: models.a: has no candidates"),
        ("models: {auto: []}", "understudy.yaml:1:16: models.auto: is the name for a choice by `routing`"),
        ("model_list: []", "understudy.yaml: is a LiteLLM configuration; convert it with  understudy import-litellm "),
        ("tenants: {a: {day: 0}}", "understudy.yaml:1:20: tenants.a.day: must be greater than 0"),
        ("budgets: {cal: 1}", "understudy.yaml:1:11: budgets.cal: unknown key (did you mean 'call'?)"),
        ("budgets: {day: x}", "understudy.yaml:1:16: budgets.day: must be a number, without quotes"),
        ("routing: {pii: never}", "understudy.yaml:1:16: routing.pii: must be 'allow' or 'private_only'"),
        ("accounts: {a: {}}", "understudy.yaml:1:1: models: is missing: accounts are defined"),
        ("accounts: {'a b': {}}", "understudy.yaml:1:12: accounts.a b: must be letters, digits"),
        (
            "digest: {map_model: fats}",
            "understudy.yaml:1:21: digest.map_model: no route is called 'fats' (def",
        ),
        (
            "digest: {map_budget: 3}\nmax_cost: -1\n",
            "understudy.yaml:1:22: digest.map_budget: must be greater than",
        ),
    ],
)
def test_mistake_in_the_file(text: str, message: str) -> None:
    """A file that is no configuration at all is told in one line as well."""
    assert mistake(text).startswith(message)


def test_several_mistakes_are_counted() -> None:
    """The first mistake is told, the others are counted."""
    assert mistake("digest: {map_budget: 3}\nmax_cost: -1\n").endswith(" (and 1 more)")


def test_mistyped_key_goes_before_the_key_that_is_missing_for_it() -> None:
    """A mistyped key is also a missing one; the first is told."""
    message = mistake((ACCOUNT % "{}").replace("account: openai", "acount: openai"))
    assert message.startswith("understudy.yaml:6:7: models.fast[0].acount: unknown key (did you mean 'account'?)")


def test_unknown_account_is_told_at_its_line() -> None:
    """A candidate whose account isn't defined is told with a near name."""
    message = mistake((ACCOUNT % "{}").replace("account: openai", "account: opena"))
    assert message == (
        "understudy.yaml:6:16: models.fast[0].account: no account is called 'opena' (did you mean 'openai'?)"
    )


MAPPING = """\
models:
  fast:
    balance: cheapest
    hedge: {share: 0.1, quantile: 0.9, initial_s: 1, most: 2, worth: 0.01}
    cache: {ttl_s: 60}
    candidates:
      - {account: embedded, model: extractive, rank: 0, weight: 2, quality: {code: 0.5}}
%s
"""


def test_route_with_policies_is_read() -> None:
    """A route may be a mapping, whose candidates stand beside its policies."""
    route = parse(MAPPING % "    degraded: later\n    tier: fast").models["fast"]
    assert (route.balance, route.degraded, route.tier, len(route.candidates)) == ("cheapest", "later", "fast", 1)
    assert route.hedge is not None
    assert route.hedge.most == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("      - {acount: embedded, model: x}", "8:10: models.fast.candidates[1].acount: unknown key (did you mean"),
        ("      - {account: embeded, model: x}", "8:19: models.fast.candidates[1].account: no account is called"),
        ("      - {account: embedded}", "8:9: models.fast.candidates[1].model: is missing"),
        ("    overflow: cut", "8:15: models.fast.overflow: must be 'fail', 'larger', "),
        ("    degradd: x", "8:5: models.fast.degradd: unknown key (did you mean 'degraded'?)"),
        (
            "routing: {rules: [{route: fast}, {route: fats}]}",
            "8:42: routing.rules[1].route: no route is called 'fats' (did you mean 'fast'?)",
        ),
        ("routing: {examples: {slow: [a]}}", "8:28: routing.examples.slow: no route is called 'slow' (defined: fast)"),
        ("routing: {generalist: all}", "8:23: routing.generalist: no route is called 'all' (defined: fast)"),
        ("routing: {classifier: auto}", "8:23: routing.classifier: no route is called 'auto'"),
        (
            "routing: {rules: [{route: fast, matches: '(a'}]}",
            "8:42: routing.rules[0].matches: is no regular expression: missing ), unterminated subp",
        ),
        (
            "routing: {rules: [{route: fast, matches: 'a{99999999999999999999}'}]}",
            "8:42: routing.rules[0].matches: is no regular expression",
        ),
        (
            "tenants: {search: {}}\nrouting: {rules: [{route: fast, tenant: [serch]}]}",
            "9:42: routing.rules[0].tenant[0]: no tenant is called 'serch' (did you mean 'search'?)",
        ),
    ],
)
def test_mistake_in_a_route_or_in_the_choice_of_one(line: str, message: str) -> None:
    """Places and keys are those of the file, whether a route is a list or a mapping."""
    assert mistake(MAPPING % line).startswith(f"understudy.yaml:{message}")


def balanced(policy: str) -> str:
    """A file whose route names that policy."""
    return (MAPPING % "").replace("balance: cheapest", f"balance: {policy}")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            "latncy",
            "must be 'ordered', 'round_robin', 'weighted', 'least_busy', 'latency', 'cheapest' or package.module",
        ),
        ("a b:C", "must be 'ordered', "),
        ("no.such:Policy", "balance 'no.such:Policy' can't be imported: No module named 'no'"),
        ("random:Random", "balance 'random:Random' has no method order(equals, views, rng)"),
    ],
)
def test_a_policy_that_can_not_be_used(policy: str, message: str) -> None:
    """A wrong name or import path is told with its place when the file is read."""
    told = mistake(balanced(policy))
    assert re.match(r"understudy\.yaml:3:\d+: models\.fast\.balance: ", told)
    assert message in told


def test_a_policy_of_ones_own_is_named_by_its_import_path() -> None:
    """A class that orders equals is taken, a mistyped name is told with its neighbour, the schema knows both forms."""
    policy = "understudy.actors.router.balance:LeastBusy"
    assert parse(balanced(policy)).models["fast"].balance == policy
    assert "did you mean 'latency'?" in mistake(balanced("latncy"))
    drawn = schema()["$defs"]["Route"]["properties"]["balance"]["anyOf"]
    assert drawn[0]["enum"] == list(BALANCES)
    assert re.fullmatch(drawn[1]["pattern"], policy)


def test_a_digest_that_may_use_the_cache_needs_one() -> None:
    """Where no route of the digest keeps answers the permission would do nothing, which is told."""
    told = mistake("digest: {cache: true}")
    assert told == "understudy.yaml:1:17: digest.cache: nothing is kept: give models.extractive a `cache`"
    assert parse(MAPPING % "digest: {cache: true}").digest.cache


def test_kinds_know_where_their_provider_listens() -> None:
    """Only Azure has no address of its own."""
    text = "accounts: {a: {kind: anthropic, api_key: env.A}, g: {kind: gemini}}\nmodels: {m: [{account: a, model: x}]}"
    accounts = parse(text).accounts
    assert accounts["a"].base_url == "https://api.anthropic.com/v1"
    assert accounts["g"].base_url == "https://generativelanguage.googleapis.com/v1beta"


def test_schema_knows_both_forms_of_a_route() -> None:
    """An editor accepts a list of candidates and a mapping, and refuses the reserved name."""
    jsonschema = pytest.importorskip("jsonschema")
    judge = jsonschema.Draft202012Validator(schema())
    candidates = [{"account": "embedded", "model": "extractive"}]
    judge.validate({"models": {"a": candidates, "b": {"candidates": candidates, "balance": "latency"}}})
    assert not judge.is_valid({"models": {"auto": candidates}})
    assert not judge.is_valid({"models": {"a": "gpt-4o"}})


def test_aliases_cannot_explode() -> None:
    """Nested aliases that would make 10^9 values are refused, not followed."""
    levels = "".join(f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "values" in mistake("x-0: &a0 [1]\n" + levels)


def test_embedded_account_always_exists() -> None:
    """A route can name the embedded provider without defining it."""
    config = parse("models: {mine: [{account: embedded, model: extractive}]}")
    assert config.accounts["embedded"].kind == "embedded"
    assert config.map_route == "mine"


def test_default_is_embedded(tmp_path: Path) -> None:
    """Without a file the embedded provider answers, whatever the environment holds."""
    assert load(folder=tmp_path) == Config()
    assert Config().accounts_of([Config().map_route]) == ("embedded",)


def test_file_in_the_folder_is_found(tmp_path: Path) -> None:
    """`understudy.yaml` in the folder is read, also with a byte order mark."""
    (tmp_path / "understudy.yaml").write_text("max_cost: 3\n", encoding="utf-8-sig")
    assert load(folder=tmp_path).max_cost == 3


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """No such file, a folder, too much and not UTF-8 are each told in one line."""
    large, latin = tmp_path / "large.yaml", tmp_path / "latin.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    latin.write_bytes(b"max_cost: 3 # \xe9t\xe9\n")
    for path, words in [
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "is a folder"),
        (large, "larger than"),
        (latin, "not UTF-8"),
        (latin / "below.yaml", "can't be read"),
    ]:
        with pytest.raises(ConfigError, match=words) as caught:
            load(path)
        assert str(caught.value).startswith(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    """A file that may not be read is told with the system's words."""
    path = tmp_path / "understudy.yaml"
    path.write_text("max_cost: 3\n")
    path.chmod(stat.S_IWUSR)
    with pytest.raises(ConfigError, match="Permission denied"):
        load(path)


@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"\n #$").map(lambda text: "accounts:\n  a: " + text))
def test_any_text_gives_a_configuration_or_one_line(text: str) -> None:
    """Whatever a file holds, the outcome is a Config or a ConfigError of one line."""
    try:
        outcome: object = parse(text)
    except ConfigError as error:
        outcome = str(error)
    assert isinstance(outcome, Config) or "\n" not in str(outcome)


def test_example_of_the_documentation_is_read() -> None:
    """The example that users copy is a valid configuration."""
    example = DOCUMENT.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    config = parse(example)
    assert (config.map_route, config.reduce_route, config.max_cost) == ("fast", "strong", 2.5)
    assert {account.kind for account in config.accounts.values()} >= {"openai", "anthropic", "gemini", "embedded"}
    assert config.routing.pii == "private_only"
    assert config.models["strong"].hedge is not None
    assert config.tenants["search"].day
    assert config.budgets.day


def test_documentation_names_every_key() -> None:
    """Each key of the schema stands in the table of keys."""
    table = DOCUMENT.read_text(encoding="utf-8").split("## Every key")[1]
    for name, part in schema()["$defs"].items():
        for key in part["properties"]:
            assert f".{key}`" in table or f"`{key}`" in table or f".{key}." in table, f"{name}.{key}"
