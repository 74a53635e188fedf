"""What a driver that was stopped in the middle of handing in its digest had not handed in yet."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from ...protocols.config import DigestSettings
from ...protocols.digest import Chunk, DigestPlan, Pack
from ...protocols.errors import UsageError
from ...supervisors.digest.keys import chunk_key
from ...supervisors.digest.known import Earlier, known_by_key
from ...supervisors.digest.plan import Found, Planner
from .notes import mark

_Place = tuple[str, int, int, str]


def rest(
    plan: DigestPlan, handed_in: int, settings: DigestSettings, found: Callable[[], Iterable[Found]], earlier: Earlier
) -> Sequence[Pack]:
    """The packs from number `handed_in` on, with the texts that their chunks have now.

    Args:
        plan: as it was noted: with marks for texts.
        handed_in: how many packs the job has.
        settings: what the plan was made by.
        found: walks what was digested.
        earlier: looks up answers that were known then.

    Raises:
        UsageError: it is no more what it was.
    """
    missing = plan.packs[handed_in:]
    if not missing:
        return ()
    planner = Planner(plan.root, settings)
    for one in found():
        planner.add(one)
    texts: dict[_Place, Chunk] = {}
    for pack in planner.finish().packs:
        texts |= {_place(chunk, mark(chunk.text)): chunk for chunk in pack.chunks}
    return list(_filled(missing, texts, earlier))


def _place(chunk: Chunk, marked: str) -> _Place:
    return chunk.path, chunk.number, chunk.of, marked


def _filled(missing: Iterable[Pack], texts: dict[_Place, Chunk], earlier: Earlier) -> Iterator[Pack]:
    for pack in missing:
        chunks = [texts.get(_place(chunk, chunk.text)) for chunk in pack.chunks]
        whole = tuple(chunk for chunk in chunks if chunk is not None)
        if len(whole) < len(chunks):
            raise _changed(pack.chunks[chunks.index(None)].path)
        yield _answered(pack, whole, earlier) if pack.known else msgspec.structs.replace(pack, chunks=whole)


def _answered(pack: Pack, chunks: tuple[Chunk, ...], earlier: Earlier) -> Pack:
    keys = tuple(chunk_key(earlier.bases.chunk, chunk, asked=earlier.asked) for chunk in chunks)
    known = known_by_key(keys, earlier.recall)
    lost = [chunk.path for chunk, key in zip(chunks, keys, strict=True) if key not in known]
    if lost:
        raise _changed(lost[0])
    return msgspec.structs.replace(pack, chunks=chunks, keys=keys, known=tuple(known[key].text for key in keys))


def _changed(path: str) -> UsageError:
    return UsageError(
        f"{path} is not what it was when this digest began, and it was not handed in yet; digest the folder again: "
        "what was answered is known, and is not paid for twice"
    )
