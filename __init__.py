"""understudy: an actor system on Ray that orchestrates calls to language models."""

__version__ = "0.1.0"
