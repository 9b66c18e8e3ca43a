"""One module a stage, each with a function of the stage's name.

A stage is called `(run, scratch)`: it reads finished artefacts from the run
folder, writes into `scratch`, and returns what it wrote, as {name in the run
folder: path}, and a record of its type.
"""

import os
from collections.abc import Iterable


def artefacts_in(
    scratch: str, folder: str, names: Iterable[str]
) -> dict[str, str]:
    """{name in the run folder: path} of files written into `scratch`."""
    return {
        os.path.join(folder, name): os.path.join(scratch, name)
        for name in names
    }
