"""How actors speak: a bounded outbox for each peer, coalesced into few Ray calls; replies come the same way."""
