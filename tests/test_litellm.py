"""Converting a LiteLLM configuration: what it becomes, and that nothing is passed over in silence."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.config_file import load, parse, read_yaml
from understudy.cluster.litellm.command import WIDTH, import_litellm, render
from understudy.cluster.litellm.convert import Outcome, convert
from understudy.cluster.litellm.providers import PROVIDERS, address, split
from understudy.protocols.config import Config
from understudy.protocols.errors import ConfigError, UsageError

PROXY = """\
model_list:
  - model_name: gpt-4o                       # two deployments of one name share the load
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://my-eu.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY_EU
      api_version: "2024-08-01-preview"
      rpm: 300
      tpm: 100000
    model_info: {base_model: azure/gpt-4o, max_input_tokens: 128000, id: eu-1}
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: sk-planted-0001
      organization: os.environ/OPENAI_ORG
      rpm: 500
      max_parallel_requests: 20
      weight: 2
      timeout: 30
      stream_timeout: 10
      input_cost_per_token: 0.0000025
      output_cost_per_token: 1e-05
  - model_name: mini
    litellm_params: {model: gpt-4o-mini, api_key: sk-planted-0001, organization: os.environ/OPENAI_ORG, rpm: 100}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_base: https://api.anthropic.com, temperature: 0.2}
  - model_name: local
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3.1-8B
      api_base: http://127.0.0.1:8000/v1
      api_key: EMPTY
      extra_headers: {X-Token: planted-0002, X-Team: search}
  - model_name: vectors
    litellm_params: {model: openai/text-embedding-3-small}
    model_info: {mode: embedding}
  - model_name: bedrock
    litellm_params: {model: bedrock/anthropic.claude-v2, aws_secret_access_key: planted-0003}
router_settings:
  routing_strategy: least-busy
  num_retries: 2
  timeout: 60
  retry_after: 1
  cooldown_time: 30
  allowed_fails: 3
  redis_password: planted-0004
  fallbacks: [{gpt-4o: [claude, mini]}, {bedrock: [claude]}]
  context_window_fallbacks: [{mini: [gpt-4o]}]
  model_group_alias: {gpt-4: gpt-4o, hidden-one: {model: claude, hidden: true}}
litellm_settings:
  num_retries: 7
  drop_params: true
  cache: true
  cache_params: {type: redis, host: planted-0005, ttl: 600}
  max_budget: 100
  budget_duration: 1d
  default_fallbacks: [local]
  success_callback: [langfuse]
  frobnicate: planted-0006
general_settings:
  master_key: sk-planted-0007
  database_url: postgresql://user:planted-0008@db/litellm
environment_variables: {LANGFUSE_KEY: planted-0009}
guardrails: [{guardrail_name: planted-0010}]
"""


def outcome(text: str) -> Outcome:
    """What a LiteLLM file becomes."""
    return convert(read_yaml(text, "config.yaml"))


def converted(text: str) -> Config:
    """The configuration that is written for a LiteLLM file, read again."""
    return parse(render(outcome(text).config, "config.yaml"))


def notes(text: str) -> dict[str, str]:
    """The notes on a file, by key."""
    return {note.key: note.text for note in outcome(text).notes}


def one(params: str, *, name: str = "m", more: str = "") -> str:
    """A file with one deployment."""
    return f"model_list:\n  - model_name: {name}\n    litellm_params: {{{params}}}\n{more}"


def test_deployments_fallbacks_and_aliases_become_ranks() -> None:
    """Deployments of one name are equals, fallbacks step in after them, and an alias is a route like its target."""
    models = converted(PROXY).models
    drawn = {
        route: [(it.rank if it.rank is not None else place, it.account) for place, it in enumerate(found.candidates)]
        for route, found in models.items()
    }
    assert drawn == {
        "gpt-4o": [(0, "azure"), (0, "openai"), (1, "anthropic"), (2, "openai")],
        "mini": [(0, "openai"), (1, "azure"), (1, "openai")],
        "claude": [(0, "anthropic"), (1, "hosted_vllm")],
        "local": [(0, "hosted_vllm")],
        "bedrock": [(0, "anthropic")],
        "gpt-4": [(0, "azure"), (0, "openai"), (1, "anthropic"), (2, "openai")],
        "hidden-one": [(0, "anthropic"), (1, "hosted_vllm")],
    }
    assert models["gpt-4o"].balance == "least_busy"
    assert models["gpt-4o"].cache is not None
    assert models["gpt-4o"].cache.ttl_s == 600


def test_accounts_limits_and_times() -> None:
    """A key and an address are one account; limits of its models are added up; the longest time-out holds."""
    config = converted(PROXY)
    azure, openai = config.accounts["azure"], config.accounts["openai"]
    assert (azure.kind, azure.base_url) == ("azure", "https://my-eu.openai.azure.com")
    assert azure.api_version == "2024-08-01-preview"
    assert (azure.limits.rpm, azure.limits.tpm, azure.timeouts.total_s) == (300, 100_000, 60)
    assert (openai.api_key, openai.organization) == ("${OPENAI_API_KEY}", "${OPENAI_ORG}")
    assert (openai.limits.rpm, openai.limits.concurrency) == (600, 20)
    assert (openai.timeouts.total_s, openai.timeouts.first_s) == (30, 10)
    assert config.accounts["anthropic"].api_key == "${ANTHROPIC_API_KEY}"
    assert config.accounts["anthropic"].base_url == "https://api.anthropic.com/v1"
    assert config.accounts["hosted_vllm"].api_key is None
    assert config.accounts["hosted_vllm"].headers == {"X-Token": "${HOSTED_VLLM_X_TOKEN}", "X-Team": "search"}
    assert (azure.breaker.failures, azure.breaker.open_s) == (4, 30)


def test_prices_windows_and_attempts() -> None:
    """Prices are of a million tokens, exactly; retries are counted in one budget over all ranks."""
    config = converted(PROXY)
    first, second = config.models["gpt-4o"].candidates[:2]
    assert (first.model, first.window) == ("gpt-4o-eu", 128_000)
    assert second.price is not None
    assert (second.price.input, second.price.output, second.weight) == (2.5, 10, 2)
    assert (config.attempts.max_attempts, config.attempts.per_candidate, config.attempts.backoff_s) == (9, 3, 1)
    assert config.budgets.day == 100


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("model_list[0].model_info.base_model", "give the candidate a price"),
        ("model_list[1].litellm_params", "of the 2 models of openai are added up"),
        ("model_list[1].litellm_params.api_key", "put the key into the variable OPENAI_API_KEY"),
        ("model_list[3].litellm_params.temperature", "belongs to the request"),
        ("model_list[4].litellm_params.api_key", "stands for no key"),
        ("model_list[4].litellm_params.extra_headers.X-Token", "variable HOSTED_VLLM_X_TOKEN"),
        ("model_list[5].model_info.mode", "is not chat: deployment left out"),
        ("model_list[6].litellm_params.model", "provider 'bedrock' is not spoken here: deployment left out"),
        ("router_settings.redis_password", "without Redis"),
        ("router_settings.context_window_fallbacks", "after any other failure as well"),
        ("router_settings.model_group_alias.hidden-one", "can't be hidden"),
        ("litellm_settings.drop_params", "left out"),
        ("litellm_settings.cache", "calls that allow it"),
        ("litellm_settings.cache_params.host", "without Redis"),
        ("litellm_settings.cache_params.type", "in the memory of each process"),
        ("litellm_settings.success_callback", "OpenTelemetry"),
        ("litellm_settings.frobnicate", "not known here"),
        ("general_settings.master_key", "proxy server"),
        ("general_settings.database_url", "proxy server"),
        ("environment_variables.LANGFUSE_KEY", "not copied"),
        ("guardrails", "not known here"),
    ],
)
def test_what_has_no_counterpart_is_named(key: str, words: str) -> None:
    """Each setting that is changed or left out has a note of its own."""
    assert words in notes(PROXY)[key]


def test_notes_tell_line_and_column() -> None:
    """A note leads to the place in the file."""
    lines = PROXY.splitlines()
    for note in outcome(PROXY).notes:
        line, column = note.place
        last = note.key.rsplit(".", 1)[-1]
        if not last.endswith("]") and last != "litellm_params":
            assert lines[line - 1][column - 1 :].startswith(last), note


def test_no_secret_is_copied_or_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No planted value is in the file that is written, nor in what is printed."""
    source, out = tmp_path / "config.yaml", tmp_path / "understudy.yaml"
    source.write_text(PROXY)
    for json_too in (False, True):
        import_litellm(source, out, json=json_too, force=True)
    import_litellm(source, Path("-"))
    shown = capsys.readouterr()
    assert "planted" not in out.read_text() + shown.out + shown.err


@pytest.mark.parametrize(
    ("params", "kind", "url", "key", "model"),
    [
        ("model: groq/llama-3.3-70b", "openai", "https://api.groq.com/openai/v1", "${GROQ_API_KEY}", "llama-3.3-70b"),
        ("model: gemini/gemini-2.5-pro", "gemini", None, "${GEMINI_API_KEY}", "gemini-2.5-pro"),
        ("model: claude-haiku-4-5", "anthropic", None, "${ANTHROPIC_API_KEY}", "claude-haiku-4-5"),
        ("model: ollama/llama3", "openai", "http://localhost:11434/v1", None, "llama3"),
        ("model: ollama_chat/llama3, api_base: 'http://h:1'", "openai", "http://h:1/v1", None, "llama3"),
        (
            "model: fireworks_ai/mixtral",
            "openai",
            "https://api.fireworks.ai/inference/v1",
            "${FIREWORKS_AI_API_KEY}",
            "accounts/fireworks/models/mixtral",
        ),
        (
            "model: openrouter/openai/gpt-4o",
            "openai",
            "https://openrouter.ai/api/v1",
            "${OPENROUTER_API_KEY}",
            "openai/gpt-4o",
        ),
        ("model: acme/x, api_base: 'http://h:1/v1', api_key: os.environ/K", "openai", "http://h:1/v1", "${K}", "x"),
        (
            "model: x, custom_llm_provider: openai, api_base: os.environ/BASE",
            "openai",
            "${BASE}",
            "${OPENAI_API_KEY}",
            "x",
        ),
        (
            "model: azure/d, api_base: 'https://n.openai.azure.com/openai/deployments/d'",
            "azure",
            "https://n.openai.azure.com",
            "${AZURE_API_KEY}",
            "d",
        ),
    ],
)
def test_providers(params: str, kind: str, url: str | None, key: str | None, model: str) -> None:
    """Each prefix leads to its wire format, address and key."""
    config = converted(one(params))
    [candidate] = config.models["m"].candidates
    account = config.accounts[candidate.account]
    assert (account.kind, account.api_key, candidate.model) == (kind, key, model)
    assert url is None or account.base_url == url


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("model: 'openai/*'", "names no model"),
        ("model: bedrock/x", "is not spoken here"),
        ("model: mystery", "no provider can be told"),
        ("model: vllm/x", "needs an api_base"),
        ("model: openai/x, api_base: 'ftp://h'", "is not an http"),
        ("api_key: x", "has no litellm_params.model"),
    ],
)
def test_deployment_that_can_not_be_used(params: str, words: str) -> None:
    """A deployment that is left out is named with the reason."""
    found = outcome(one(params))
    assert found.config["models"] == {}
    assert any(words in note.text for note in found.notes)


def test_different_literal_keys_get_different_variables() -> None:
    """Two keys never end up behind one variable, also where a third is read from the usual one."""
    text = "model_list:\n" + "".join(
        f"  - {{model_name: m{place}, litellm_params: {{model: openai/x{key}}}}}\n"
        for place, key in enumerate([", api_key: sk-a", ", api_key: sk-b", ", api_key: sk-a", ""])
    )
    config = converted(text)
    keys = [config.accounts[route.candidates[0].account].api_key for route in config.models.values()]
    assert keys == ["${OPENAI_API_KEY_2}", "${OPENAI_API_KEY_3}", "${OPENAI_API_KEY_2}", "${OPENAI_API_KEY}"]
    assert list(config.accounts)[:3] == ["openai", "openai-2", "openai-3"]


def test_small_print_is_named() -> None:
    """A second deployment that is the same, a cache that is neither on nor off, a duration without a budget."""
    more = "  - {model_name: m, litellm_params: {model: openai/x}}\n"
    more += "litellm_settings: {cache: 'yes', budget_duration: 30d, default_fallbacks: [5]}\n"
    told = notes(one("model: openai/x", more=more))
    assert "counted once" in told["model_list[1]"]
    assert "true or false" in told["litellm_settings.cache"]
    assert "max_budget" in told["litellm_settings.budget_duration"]
    assert "a model's name" in told["litellm_settings.default_fallbacks[0]"]
    [candidate] = converted(one("model: openai/x", more=more)).models["m"].candidates
    assert candidate.model == "x"


def test_orders_are_ranks() -> None:
    """A lower order goes first, deployments without one last."""
    text = "model_list:\n" + "".join(
        f"  - {{model_name: m, litellm_params: {{model: openai/{model}{order}}}}}\n"
        for model, order in [("c", ""), ("b", ", order: 2"), ("a", ", order: 1"), ("d", ", order: 2")]
    )
    route = converted(text).models["m"]
    assert [(it.model, it.rank) for it in route.candidates] == [("a", 0), ("b", 1), ("d", 1), ("c", 2)]
    assert route.balance == "weighted"


@pytest.mark.parametrize(
    ("strategy", "balance"),
    [
        ("simple-shuffle", "weighted"),
        ("least-busy", "least_busy"),
        ("latency-based-routing", "latency"),
        ("usage-based-routing-v2", "weighted"),
        ("cost-based-routing", "cheapest"),
        ("unheard-of", "weighted"),
    ],
)
def test_strategies(strategy: str, balance: str) -> None:
    """Each routing strategy has its balance; an unknown one is named."""
    text = one("model: openai/a") + "  - {model_name: m, litellm_params: {model: openai/b}}\n"
    text += f"router_settings: {{routing_strategy: {strategy}}}\n"
    assert converted(text).models["m"].balance == balance
    assert ("router_settings.routing_strategy" in notes(text)) == (strategy == "unheard-of")


def test_fallback_to_nobody_is_named() -> None:
    """A fallback, a fallback's owner or an alias that means no model is told with a near name."""
    more = "router_settings:\n  fallbacks: [{m: [mm]}, {n: [m]}, 5, {m: [{model: x}]}]\n  model_group_alias: {a: mn}\n"
    told = notes(one("model: openai/x", more=more))
    assert "no usable model is called 'mm'" in told["router_settings.fallbacks[0].m[0]"]
    assert "no usable model is called 'n'" in told["router_settings.fallbacks[1].n"]
    assert "must be a mapping" in told["router_settings.fallbacks[2]"]
    assert "name a model" in told["router_settings.fallbacks[3].m[0]"]
    assert "no usable model is called 'mn'" in told["router_settings.model_group_alias.a"]


def test_values_that_can_not_be_used_are_named() -> None:
    """A limit of 0, a reference as a number, or a reserved name are told, not written."""
    text = one("model: openai/x, rpm: 0, tpm: os.environ/TPM, timeout: soon, max_parallel_requests: true", name="auto")
    told = notes(text)
    assert sorted(key.rsplit(".", 1)[-1] for key in told) == sorted(
        ["rpm", "tpm", "timeout", "max_parallel_requests", "model_list"]
    )
    assert "reference" in told["model_list[0].litellm_params.tpm"]
    assert list(converted(text).models) == ["auto-1"]


def test_written_once_and_not_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file that is written can be loaded; one that is there stays, unless it is to be replaced."""
    source, out = tmp_path / "config.yaml", tmp_path / "understudy.yaml"
    source.write_text(PROXY)
    assert import_litellm(source, out) == 0
    shown = capsys.readouterr().out
    table = [line for line in shown.splitlines() if line.startswith(("│", "┃", "┏", "└", "┡"))]
    assert table
    assert max(map(len, table)) <= WIDTH
    assert f"{source}:10:18: model_list[0].model_info.base_model: left out" in shown
    assert "set before use: ANTHROPIC_API_KEY, AZURE_API_KEY_EU, HOSTED_VLLM_X_TOKEN, OPENAI_API_KEY, OPENAI" in shown
    assert next(iter(load(out).models)) == "gpt-4o"
    out.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        import_litellm(source, out)
    assert out.read_text() == "mine"
    import_litellm(source, out, force=True)
    assert load(out).models


def test_json_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the outcome is one JSON value: models, variables, and each note with its place."""
    source, out = tmp_path / "config.yaml", tmp_path / "understudy.yaml"
    source.write_text(PROXY)
    import_litellm(source, out, json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["models"]["claude"] == ["anthropic/claude-sonnet-4-5", "hosted_vllm/meta-llama/Llama-3.1-8B"]
    assert told["out"] == str(out)
    assert {"line", "column", "key", "text"} == set(told["notes"][0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accounts: {}", "has no model_list"),
        ("model_list: []", "none of its deployments can be used"),
        ("model_list: [", "not YAML"),
        (one("model: bedrock/x"), "provider 'bedrock' is not spoken here"),
    ],
)
def test_a_file_that_can_not_be_converted(text: str, words: str, tmp_path: Path) -> None:
    """What can't be converted is told in one line, and nothing is written."""
    source, out = tmp_path / "config.yaml", tmp_path / "understudy.yaml"
    source.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        import_litellm(source, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_prefixes_and_addresses() -> None:
    """Prefixes are cut once; addresses lose what LiteLLM allows behind them."""
    assert split("openai/a/b", None) == ("openai", "a/b")
    assert split("a/b", "hosted_vllm") == ("hosted_vllm", "a/b")
    assert split("openai/b", "openai") == ("openai", "b")
    assert address(PROVIDERS["anthropic"], "https://h/v1/messages") == "https://h/v1"
    assert address(PROVIDERS["gemini"], "https://h") == "https://h/v1beta"
    assert address(PROVIDERS["openai"], "https://h/v1/chat/completions/") == "https://h/v1"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
PARAMS = st.dictionaries(
    st.sampled_from(["model", "api_base", "api_key", "rpm", "timeout", "weight", "order", "extra_headers", "zzz"]),
    VALUES,
    max_size=5,
)
MODELS = st.sampled_from(["openai/a", "azure/b", "claude-c", "acme/d", "vllm/e", "*"])
FILES = st.fixed_dictionaries(
    {
        "model_list": st.lists(
            st.fixed_dictionaries(
                {
                    "model_name": st.sampled_from(["a", "b", "auto", "ä b"]),
                    "litellm_params": st.tuples(PARAMS, MODELS).map(lambda both: {**both[0], "model": both[1]}),
                },
                optional={"model_info": VALUES},
            ),
            max_size=4,
        )
    },
    optional={
        "router_settings": st.dictionaries(
            st.sampled_from(["fallbacks", "num_retries", "model_group_alias", "timeout", "cooldown_time"]), VALUES
        ),
        "litellm_settings": st.dictionaries(
            st.sampled_from(["cache", "cache_params", "max_budget", "default_fallbacks"]), VALUES
        ),
        "general_settings": VALUES,
    },
)


@given(FILES)
def test_whatever_a_file_holds_what_is_written_can_be_read(values: dict[str, Any]) -> None:
    """Any values in LiteLLM's shape become a configuration that is accepted, or none with a reason."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - only here

    sink = io.StringIO()
    YAML(typ="safe").dump(values, sink)
    try:
        found = outcome(sink.getvalue())
    except ConfigError:
        return  # text that YAML can't hold
    if found.config["models"]:
        parse(render(found.config, "config.yaml"))
    else:
        assert found.notes or not values["model_list"]
