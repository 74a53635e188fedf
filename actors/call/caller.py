"""Makes logical calls for one share of the accounts: a job of a tenant."""

from collections.abc import Callable

from ...protocols.call import CallOptions
from ...protocols.chat import ChatRequest
from ..channel.channel import Channel
from ..tracing.recorder import current
from . import checking
from .kit import Kit
from .logical import LogicalCall, OnStream
from .outcome import CallOutcome

DEFAULTS = CallOptions()


class Caller:
    """Makes logical calls. One for each configuration and share in an actor that calls models.

    Args:
        kit: what callers of this configuration share.
        channel: the channel to an account, for this caller's share.
        defaults: options of calls that bring none.
    """

    def __init__(self, kit: Kit, channel: Callable[[str], Channel], *, defaults: CallOptions = DEFAULTS) -> None:
        self.kit = kit
        self.channel = channel
        self.defaults = defaults

    async def call(
        self,
        request: ChatRequest,
        *,
        tokens: int,
        options: CallOptions | None = None,
        on_text: OnStream | None = None,
    ) -> CallOutcome:
        """Answers `request`, whose prompt has about `tokens` tokens, or says why not.

        With `on_text` the answer is streamed: it is given each piece of text, and `RESET` when what came so far is
        void; while it waits nothing more is read from the socket. Cancelling closes the sockets.

        Raises:
            ConfigError: there is no such route, or a schema of the request is none.
        """
        if request.response_format is not None or request.tools:
            checking.check_schemas(request)
        call = LogicalCall(self, request, tokens, options or self.defaults, on_text)
        try:
            return await call.run()
        finally:  # also of a cancelled one: what was sent may have been charged
            recorder = current()
            if recorder is not None:
                recorder.call(call)
