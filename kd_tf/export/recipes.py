"""Ways to quantize a file, as rows of a table."""

import dataclasses

from kd_tf.specs import Argument, Spec, Table


@dataclasses.dataclass(frozen=True)
class RecipeSpec(Spec):
    """One quantization recipe.

    Attributes:
        function: A recipe of LiteRT Quantizer: a function that takes no
            argument and returns what the quantizer is to do.
        needs_examples: Whether the ranges of activations are learned from
            examples.
        title: What tables call the file.
    """

    needs_examples: bool
    title: str

    @property
    def arguments(self) -> dict[str, Argument]:
        """None: a recipe is applied as it is."""
        return {}


RECIPES: Table[RecipeSpec] = Table(
    "quantization recipe",
    {
        # Weights int8, arithmetic float.
        "weight_only_int8": RecipeSpec(
            "litert_quantizer.recipe:weight_only_wi8_afp32",
            needs_examples=False,
            title=".tflite weight-only int8",
        ),
        # Weights, activations and output int8.
        "int8": RecipeSpec(
            "litert_quantizer.recipe:static_wi8_ai8",
            needs_examples=True,
            title=".tflite int8",
        ),
    },
)
