"""Types of arguments with their ranges.

A signature that uses them says what a value may be; configs check it, and
reference pages print it, from there.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field


@dataclasses.dataclass(frozen=True)
class ArgumentsOf:
    """Marks a mapping that holds arguments of another function or class.

    Attributes:
        function: `"package.module:function"`.
    """

    function: str


@dataclasses.dataclass(frozen=True)
class PathOnDisk:
    """Marks text that names a file or folder, whose content matters.

    Attributes:
        must_exist: Whether it names one for certain; otherwise it may be
            another word, such as the name of published weights.
    """

    must_exist: bool = True


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from error
    return text


Count = Annotated[int, Field(ge=1)]
WholeNumber = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
Pattern = Annotated[str, AfterValidator(_regular_expression)]
ImageSize = Annotated[Sequence[Count], Field(min_length=2, max_length=2)]
Path = Annotated[str, PathOnDisk()]
PathOrName = Annotated[str, PathOnDisk(must_exist=False)]
