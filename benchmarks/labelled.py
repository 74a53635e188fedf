"""Labelled requests: what kind each is, and the least tier that answers it well, in their author's judgement.

They were written after the lexicon of the heuristics, which was not changed for them, but by the same hand: what is
measured on them flatters.
"""

from typing import Final, NamedTuple


class Labelled(NamedTuple):
    """A request with its labels; `answer` is how many tokens a good answer takes."""

    domain: str
    tier: str
    answer: int
    text: str


DOMAINS: Final = ("code", "math", "data", "legal", "medical", "creative", "support", "extraction", "translation")

LABELLED: Final = (
    Labelled("code", "fast", 60, "What does the keyword `yield` do in Python?"),
    Labelled("code", "fast", 40, "Which HTTP status code means too many requests?"),
    Labelled("code", "fast", 80, "Give me a regex that matches a UK postcode."),
    Labelled("code", "standard", 300, "Write a TypeScript function that debounces another function."),
    Labelled("code", "standard", 300, "My Django view returns a 500 when the form is empty. Why?"),
    Labelled("code", "standard", 350, "Write pytest tests for a function that parses ISO dates."),
    Labelled("code", "standard", 300, "Explain the difference between a mutex and a semaphore."),
    Labelled(
        "code",
        "premium",
        900,
        "Our Go service deadlocks under load. Find the root cause from this stack trace and explain "
        "step by step how to fix it.",
    ),
    Labelled(
        "code",
        "premium",
        1200,
        "Design the architecture of a distributed rate limiter that stays correct when nodes fail, and "
        "discuss the trade-offs.",
    ),
    Labelled(
        "code",
        "premium",
        900,
        "Refactor this class to remove the shared state, then evaluate whether it is still safe with several threads.",
    ),
    Labelled("math", "fast", 30, "What is 17 percent of 4,250?"),
    Labelled("math", "fast", 40, "Calculate the area of a circle with radius 3."),
    Labelled("math", "fast", 30, "Is 221 a prime number?"),
    Labelled("math", "standard", 250, "Solve x^2 - 5x + 6 = 0 and explain how you got the roots."),
    Labelled("math", "standard", 300, "Why is the sum of two odd integers always even?"),
    Labelled("math", "standard", 300, "Compute the derivative of sin(x^2) and explain the chain rule."),
    Labelled("math", "premium", 900, "Prove that there are infinitely many primes of the form 4k+3."),
    Labelled(
        "math",
        "premium",
        900,
        "Derive the closed form of the Fibonacci numbers step by step and prove it by induction.",
    ),
    Labelled("data", "fast", 60, "What does LEFT JOIN do in SQL?"),
    Labelled("data", "fast", 60, "What is the difference between mean and median?"),
    Labelled(
        "data",
        "standard",
        300,
        "Write a SQL query that lists the ten customers with the highest monthly revenue.",
    ),
    Labelled("data", "standard", 300, "Explain why my histogram has two peaks."),
    Labelled("data", "standard", 350, "Compare a data warehouse with a data lake for a team of five."),
    Labelled("data", "standard", 300, "How would you handle outliers in a dataset of sensor readings?"),
    Labelled(
        "data",
        "premium",
        900,
        "Analyze these quarterly sales figures by region, then summarize the trends and explain what drives churn.",
    ),
    Labelled(
        "data",
        "premium",
        900,
        "Build a forecast for next year: first clean the dataset, then compare three models and justify your choice.",
    ),
    Labelled("legal", "fast", 80, "What does NDA stand for?"),
    Labelled("legal", "fast", 80, "Define the term force majeure."),
    Labelled("legal", "standard", 350, "Explain what an indemnification clause is in a software contract."),
    Labelled(
        "legal",
        "standard",
        300,
        "Can my landlord keep the deposit because of normal wear? Explain why or why not.",
    ),
    Labelled("legal", "standard", 400, "Draft a short confidentiality agreement between two freelancers."),
    Labelled(
        "legal",
        "premium",
        1000,
        "Compare the limitation of liability in both contracts, evaluate the risk for the supplier and "
        "recommend changes, step by step.",
    ),
    Labelled(
        "legal",
        "premium",
        1000,
        "Assess whether this processing of customer data complies with the GDPR, and explain the "
        "implications of each article in depth.",
    ),
    Labelled("medical", "fast", 60, "What is the usual adult dosage of ibuprofen?"),
    Labelled("medical", "fast", 60, "List common symptoms of the flu."),
    Labelled("medical", "standard", 300, "Explain how insulin works to a patient who was just diagnosed."),
    Labelled("medical", "standard", 300, "Why do some antibiotics not mix with alcohol?"),
    Labelled("medical", "standard", 300, "Compare paracetamol and aspirin for a headache."),
    Labelled(
        "medical",
        "premium",
        900,
        "A 54-year-old with chronic hypertension has chest pain and an abnormal ECG. Evaluate the "
        "differential diagnosis step by step.",
    ),
    Labelled(
        "medical",
        "premium",
        900,
        "Review this clinical protocol for contraindications and analyze the strategy for patients in pregnancy.",
    ),
    Labelled("creative", "standard", 200, "Write a haiku about autumn rain."),
    Labelled("creative", "standard", 400, "Write a short story about a lighthouse keeper who is afraid of the dark."),
    Labelled("creative", "standard", 150, "Create five slogans for a bakery."),
    Labelled("creative", "standard", 300, "Write a funny poem for my sister's wedding."),
    Labelled("creative", "standard", 250, "Imagine a dialogue between a cat and the moon."),
    Labelled("creative", "standard", 300, "Compose song lyrics about leaving home."),
    Labelled(
        "creative",
        "premium",
        1500,
        "Write a screenplay scene: first introduce two rivals, then reveal their secret, and explain "
        "how each line builds tension, step by step.",
    ),
    Labelled("support", "fast", 80, "How do I reset my password?"),
    Labelled("support", "fast", 80, "Where is my order? The tracking has not moved since Monday."),
    Labelled("support", "fast", 80, "I was charged twice, please refund one payment."),
    Labelled("support", "fast", 60, "What are your opening hours?"),
    Labelled("support", "fast", 80, "I want to cancel my subscription."),
    Labelled("support", "fast", 80, "My voucher is not accepted at checkout."),
    Labelled("support", "fast", 80, "Can I change the delivery address of a parcel?"),
    Labelled("support", "standard", 250, "Compare your two subscription plans and tell me which suits a family."),
    Labelled("extraction", "fast", 120, "Extract all names and dates from the text below."),
    Labelled(
        "extraction",
        "fast",
        120,
        "Pull the total amount and the invoice number out of this email and return JSON.",
    ),
    Labelled("extraction", "fast", 120, "Parse this address into street, city and postcode."),
    Labelled("extraction", "fast", 150, "List the people and companies mentioned in this article."),
    Labelled("extraction", "fast", 150, "Get the skills from this resume as a JSON list."),
    Labelled("translation", "fast", 80, 'Translate "where is the station" into Italian.'),
    Labelled("translation", "fast", 120, "How do you say good luck in Japanese?"),
    Labelled("translation", "fast", 150, "Please translate this paragraph from German to English."),
    Labelled("translation", "fast", 150, "Traduire en anglais: je voudrais un billet pour Lyon."),
    Labelled("translation", "standard", 400, "Translate this poem into Spanish and explain your choices of words."),
    Labelled("general", "fast", 40, "What is the capital of Australia?"),
    Labelled("general", "fast", 40, "Who painted the Mona Lisa?"),
    Labelled("general", "fast", 60, "When did the Berlin Wall fall?"),
    Labelled("general", "fast", 60, "How tall is Mount Everest?"),
    Labelled("general", "standard", 250, "Explain why the sky is blue."),
    Labelled("general", "standard", 300, "Compare trains and planes for a trip from Paris to Madrid."),
    Labelled("general", "standard", 250, "Why do people dream?"),
    Labelled("general", "standard", 300, "What should I cook tonight with leeks, eggs and old bread?"),
    Labelled(
        "general",
        "premium",
        1000,
        "Analyze the causes of the First World War and summarize how historians evaluate them.",
    ),
)
