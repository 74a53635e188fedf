"""Token counts by the o200k vocabulary.

Providers count with vocabularies of their own, which differ by some percent; budgets are kept in o200k tokens
and the channel settles by the usage that a provider reports.
"""

from ...actors.embedded.tokens import count  # one vocabulary a process: it takes 60 ms and 32 MB to load

__all__ = ["count"]
