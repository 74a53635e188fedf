"""`understudy import-litellm`: a LiteLLM configuration becomes an `understudy.yaml`; what can't is named."""
