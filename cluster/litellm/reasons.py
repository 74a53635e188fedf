"""What happens instead of LiteLLM's settings that have no counterpart of their own.

Source of the keys: LiteLLM's *All settings* page of its proxy documentation. A key that is in no table here is named as
unknown.
"""

from typing import Final

UNKNOWN: Final = "is not known here: left out"

_REQUEST = "belongs to the request, not to the route: left out"
_TRACES = "left out: traces and metrics go out by OpenTelemetry, without a callback"
_REDIS = "left out: limits and health are kept by actors, without Redis"
_SERVER = "a setting of LiteLLM's proxy server: left out"
_BUDGET = "left out: budgets are set by budgets.call, budgets.day, tenants.NAME.day and max_cost"
_ALERTS = "left out: there are no alerts by this setting"

PARAMS: Final = {
    **dict.fromkeys(
        (
            *("temperature", "top_p", "n", "stop", "seed", "presence_penalty", "frequency_penalty", "response_format"),
            *("tools", "tool_choice", "reasoning_effort", "thinking", "logit_bias", "user", "stream", "extra_body"),
            *("max_completion_tokens", "safety_settings", "top_k", "metadata"),
        ),
        _REQUEST,
    ),
    **dict.fromkeys(("max_budget", "budget_duration"), _BUDGET),
    "max_retries": "left out: attempts.per_candidate holds for all",
    "num_retries": "left out: attempts.per_candidate holds for all",
    "drop_params": "left out: what a provider doesn't know is never sent to it",
    "tags": "left out: choose by routing.rules",
    "cooldown_time": "left out: set breaker.open_s of the account",
    "mock_response": "left out: `understudy simulate` serves made-up answers",
    "use_in_pass_through": _SERVER,
}

INFO: Final = {
    "id": "",  # a name for LiteLLM's own use
    "base_model": "left out: give the candidate a price and a window where its own name is in no table",
    "litellm_provider": "",
    **dict.fromkeys(("access_groups", "team_id", "team_public_model_name", "tags"), _SERVER),
    **dict.fromkeys(("description", "metadata"), "left out: nothing depends on it"),
    **dict.fromkeys(
        (
            *("supports_function_calling", "supports_vision", "supports_response_schema", "supports_prompt_caching"),
            *("supports_reasoning", "supports_parallel_function_calling", "supports_system_messages"),
            *("supports_tool_choice", "supports_audio_input", "supports_audio_output", "supports_pdf_input"),
        ),
        "left out: what a model can do is not declared; a request it can't take goes to the next candidate",
    ),
    "health_check_model": _SERVER,
    "disable_background_health_check": _SERVER,
}

ROUTER: Final = {
    **dict.fromkeys(
        ("redis_host", "redis_port", "redis_password", "redis_url", "redis_db", "cache_kwargs", "cache_responses"),
        _REDIS,
    ),
    "client_ttl": "left out: connections are kept by the channels",
    "enable_pre_call_checks": "always on: a prompt that is larger than a candidate's window goes to a larger one",
    "disable_cooldowns": "left out: an account that fails is always left alone for a while; see breaker",
    "routing_strategy_args": "left out: the policies have no settings",
    "retry_policy": "left out: how often what is retried is decided by the kind of failure",
    "model_group_retry_policy": "left out: how often what is retried is decided by the kind of failure",
    "allowed_fails_policy": "left out: breaker.failures counts all failures of the provider alike",
    "enable_tag_filtering": "left out: choose by routing.rules",
    "tag_routing": "left out: choose by routing.rules",
    "provider_budget_config": _BUDGET,
    "max_fallbacks": "left out: all later candidates may be tried, within attempts.max_attempts",
    "default_max_parallel_requests": "left out: set limits.concurrency of the accounts",
    "default_litellm_params": _REQUEST,
    "optional_pre_call_checks": "left out",
    "alerting_config": _ALERTS,
    **dict.fromkeys(("set_verbose", "debug_level"), "left out: logs are structured and say what failed"),
    "default_priority": "left out: an interactive job goes before one that is not",
    "polling_interval": "left out: nothing polls",
}

LIBRARY: Final = {
    **dict.fromkeys(
        (
            *("callbacks", "success_callback", "failure_callback", "service_callback", "service_callbacks"),
            *("langfuse_default_tags", "turn_off_message_logging", "redact_user_api_key_info"),
        ),
        _TRACES,
    ),
    **dict.fromkeys(("set_verbose", "json_logs", "log_raw_request_response"), "left out: logs are always structured"),
    "drop_params": "left out: what a provider doesn't know is never sent to it",
    "modify_params": "left out: each codec writes what its provider takes",
    "default_team_settings": _SERVER,
    "default_internal_user_params": _SERVER,
    "force_ipv4": "left out",
    "ssl_verify": "left out: certificates are always checked",
    "telemetry": "left out: nothing is ever reported to anybody",
}

CACHE: Final = {
    **dict.fromkeys(
        ("host", "port", "password", "namespace", "redis_startup_nodes", "service_name", "sentinel_nodes"), _REDIS
    ),
    "mode": "left out: a call says itself whether its answer may be kept",
    "supported_call_types": "left out: chat answers are kept, nothing else",
    "similarity_threshold": "left out: answers are kept by content, not by likeness",
    "s3_bucket_name": "left out: answers are kept in memory",
}

SERVER: Final = _SERVER

OTHER_MODES: Final = frozenset(
    {"embedding", "image_generation", "audio_transcription", "audio_speech", "moderation", "moderations", "rerank"}
    | {"completion", "responses", "batch", "realtime", "image_edit", "video_generation", "ocr", "search"}
)
