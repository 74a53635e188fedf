"""Which jobs are wanted, as SQL."""

from ...protocols.journal import JobsAsk
from .database import marks
from .writing import Row


def jobs_query(ask: JobsAsk) -> tuple[str, Row]:
    """The query, whose one column is the row as it was written, and its values."""
    clauses: list[str] = []
    values: list[object] = []

    def clause(text: str, *given: object) -> None:
        clauses.append(text.format(marks(len(given), len(values) + 1)))
        values.extend(given)

    if ask.ids:
        clause("number IN (SELECT number FROM name WHERE name.id IN ({}))", *ask.ids)
    if ask.states:
        clause("state IN ({})", *ask.states)
    if ask.owner:
        clause("owner = {}", ask.owner)
    if ask.tenant is not None:
        clause("tenant = {}", ask.tenant)
    if ask.key:
        clause("key = {} AND key <> ''", ask.key)
    if ask.parent:
        clause("parent = {} AND parent <> ''", ask.parent)
    elif not (ask.children or ask.ids):
        clause("parent = ''")
    if ask.before:
        clause("created < {}", ask.before)
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    return f"SELECT data FROM job{where} ORDER BY created DESC, id LIMIT {int(ask.limit)}", tuple(values)  # noqa: S608 - only our own words and marks
