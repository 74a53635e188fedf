"""What all settings are made of: strict models, and mistakes that know their place."""

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from .suggest import did_you_mean

_LONGEST: Final = 24
"""Keys of providers are longer."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class Strict(BaseModel):
    """Unknown keys are refused; an error never repeats the input, which may be a key in the wrong place."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def flawless(value: str, flaw: str) -> str:
    """The value, when there is no flaw in it."""
    if flaw:
        raise mistake(flaw)
    return value


def mistake(message: str, *path: str | int) -> PydanticCustomError:
    """A mistake at `path` below the value being validated; a reader of the file tells its line by it."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "path": path})


def hint(word: str, known: Iterable[str]) -> str:
    """What may have been meant by `word`: the nearest of the known names, else all of them."""
    names = sorted(known)
    return did_you_mean(word, names) or f" (defined: {', '.join(names) or 'none'})"


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """`no account is called 'opena' (did you mean 'openai'?)`; a long word is not repeated: it may be a key."""
    told = f"is called {word!r}" if len(word) <= _LONGEST else "has this name"
    return f"no {what} {told}{hint(word, known)}"
