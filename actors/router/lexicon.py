"""The words that the heuristics of `classify` know, by what they tell.

All words are folded (lower case, no punctuation, American and British spelling both). A word that tells of a domain
has a weight: 3 for what somebody asks to be done (translate, extract), 2 for a term of the field, 1 for a word that
is frequent there and common elsewhere.
"""

from typing import Final


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DOMAINS: Final[dict[str, dict[int, str]]] = {
    "translation": {
        3: "translate translates translated translating translation translations übersetze übersetzen traduire "
        "traduis traduce traducir tradurre",
        1: "french german spanish italian portuguese japanese chinese korean russian arabic hindi dutch polish "
        "turkish english language bilingual idiom idioms",
    },
    "extraction": {
        3: "extract extracts extracting extraction parse parses parsing",
        2: "ner entities",
        1: "fields field values names dates amounts invoice receipt resume cv structured json list pull",
    },
    "legal": {
        2: "contract contracts clause clauses indemnity indemnification liability plaintiff defendant lawsuit "
        "statute statutory jurisdiction arbitration tort lease lessee lessor gdpr copyright trademark patent "
        "nda litigation attorney lawyer legal legally court tenant landlord warranty negligence compliance "
        "severability",
        1: "law terms agreement party parties regulation rights license breach",
    },
    "medical": {
        2: "patient patients diagnosis diagnose symptom symptoms dosage dose doctor medication medicine disease "
        "therapy clinical hypertension diabetes insulin antibiotic antibiotics ibuprofen paracetamol aspirin "
        "vaccine surgery prognosis chronic mri ecg oncology cardiology pediatric contraindications blood "
        "pregnancy",
        1: "treatment pain fever health infection headache mg nurse hospital allergy",
    },
    "math": {
        2: "equation equations integral integrals derivative derivatives theorem proof prove calculate compute "
        "polynomial matrix eigenvalue eigenvalues probability algebra calculus geometry trigonometry "
        "factorial prime primes modulo logarithm vector vectors triangle integer integers divisible "
        "combinatorics arithmetic",
        1: "solve sum number numbers formula equal percent percentage square root fraction average odd even limit",
    },
    "data": {
        2: "sql dataset datasets dataframe csv pivot regression correlation histogram outliers outlier "
        "spreadsheet excel warehouse etl churn forecast kpi median variance statistics statistical cohort "
        "dashboard analytics bigquery timeseries",
        1: "query table tables column columns rows data chart plot metrics trend trends monthly quarterly sales "
        "revenue join average",
    },
    "code": {
        2: "python javascript typescript java rust golang kotlin swift php ruby bash regex api bug bugs debug "
        "debugging stacktrace traceback exception compile compiler refactor unittest pytest docker kubernetes "
        "git async await struct def const import elif nullptr nullpointerexception typeerror segfault "
        "endpoint backend frontend react django flask node npm pip dockerfile yaml github repository mutex "
        "deadlock recursion recursive",
        1: "code function functions class method methods script program programming algorithm variable loop "
        "array string return library module test tests implementation implement thread server database "
        "server_side cache queue null",
    },
    "support": {
        2: "refund refunds password login subscription unsubscribe shipping delivery delivered shipment tracking "
        "warranty helpdesk charged billed voucher coupon checkout reinstall cancel cancellation parcel",
        1: "account order orders customer reset help support return item ticket locked payment card address "
        "email app change plan invoice store opening hours",
    },
    "creative": {
        2: "poem poems haiku story stories novel lyrics limerick sonnet screenplay slogan tagline fairy fiction "
        "fictional metaphor rhyme rhyming plot_twist brainstorm imaginative dialogue",
        1: "write imagine character characters song creative blog title scene funny humorous verse speech toast "
        "dragon name ideas",
    },
}

DOMAIN_WORDS: Final[dict[str, tuple[tuple[str, int], ...]]] = {}
"""For each word the domains that it tells of, each with its weight."""
for _domain, _by_weight in _DOMAINS.items():
    for _weight, _words in _by_weight.items():
        for _word in _words.split():
            DOMAIN_WORDS[_word] = (*DOMAIN_WORDS.get(_word, ()), (_domain, _weight))

DOMAINS: Final = (*_DOMAINS, "general")
"""All domains; of two with equal votes the earlier one is meant: what is asked for goes before what it is about."""

REASONING: Final = _words_of(
    "why how explain explains compare compares comparing comparison evaluate evaluates evaluating analyze analyse "
    "analyzing analysing assess justify reason reasoning argue contrast critique investigate diagnose debug fix review"
)
CREATIVE: Final = _words_of("write create generate design imagine compose draft invent")
DEMANDING: Final = _words_of(
    "prove proof derive architecture architect refactor optimize optimise tradeoffs rigorous rigorously formally "
    "theorem scalable concurrency deadlock invariant invariants strategy implications comprehensive thorough "
    "thoroughly distributed consistency counterexample complexity migrate migration"
)
STEPS: Final = _words_of("step steps first then analyze analyse finally")
HURRY: Final = _words_of("asap urgent urgently")
THRIFT: Final = _words_of("cheaply cheap inexpensive")

# A phrase is looked for where its key, the rarest of its words, occurs.
PLAIN_HOW: Final = {
    "how": ("how many", "how much", "how old", "how long", "how tall", "how far", "how do i", "how can i", "how to"),
}
STEP_PHRASES: Final = {"step": ("step by step",), "steps": ("in steps", "all steps", "show your steps")}
DEMANDING_PHRASES: Final = {
    "trade": ("trade offs", "trade off"),
    "root": ("root cause",),
    "edge": ("edge cases",),
    "pros": ("pros and cons",),
    "depth": ("in depth",),
}
HURRY_PHRASES: Final = {"soon": ("as soon as possible",), "now": ("right now",)}
THRIFT_PHRASES: Final = {"cost": ("low cost", "keep the cost down"), "cheap": ("keep it cheap",)}
LAVISH_PHRASES: Final = {
    "quality": ("highest quality", "best quality", "best possible quality"),
    "matter": ("no matter the cost",),
    "cost": ("whatever it costs", "cost is no object"),
}

_FACETS: Final = (
    (1, (*REASONING, *CREATIVE, *DEMANDING, *STEPS, *STEP_PHRASES, *DEMANDING_PHRASES)),
    (2, (*HURRY, *HURRY_PHRASES)),
    (4, (*THRIFT, *THRIFT_PHRASES, *LAVISH_PHRASES)),
    (8, (*DOMAIN_WORDS, *PLAIN_HOW)),
)
FACETS: Final[dict[str, int]] = {}
"""For each word what it may tell of: 1 complexity, 2 urgency, 4 tolerance, 8 domain."""
for _bit, _some in _FACETS:
    for _word in _some:
        FACETS[_word] = FACETS.get(_word, 0) | _bit

WORDS: Final = frozenset(FACETS)
"""Every word that has to be looked for."""
DOMAIN_SETS: Final = {
    domain: frozenset(word for word, told in DOMAIN_WORDS.items() if any(domain == it for it, _ in told))
    for domain in _DOMAINS
}
