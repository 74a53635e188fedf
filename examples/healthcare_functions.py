"""The fixed rules of healthcare.yaml. Invented for the example; no source of medical knowledge."""

CLASSES = {"amoxicillin": "penicillin", "piperacillin": "penicillin", "cefalexin": "cephalosporin"}
"""What a drug is allergic kin to."""
TOGETHER_NEVER = (
    frozenset({"warfarin", "ibuprofen"}),
    frozenset({"ramipril", "spironolactone"}),
)
"""Pairs that are never given together without a person's word."""


def validate(drugs: list[str], allergies: list[str], medication: list[str]) -> dict[str, object]:
    """Whether proposed drugs pass the rules: `valid`, and `findings` that say what does not.

    Args:
        drugs: what is proposed.
        allergies: drugs or classes of drugs.
        medication: what is taken already.
    """
    proposed = [drug.strip().casefold() for drug in drugs]
    known = {one.strip().casefold() for one in allergies}
    taken = {one.strip().casefold() for one in medication} | set(proposed)
    findings = [
        f"allergic to {kin}: {drug}"
        for drug in proposed
        for kin in (drug, CLASSES.get(drug, ""))
        if kin and kin in known
    ]
    findings += [f"never together: {' and '.join(sorted(pair))}" for pair in TOGETHER_NEVER if pair <= taken]
    return {"valid": not findings, "findings": findings}
