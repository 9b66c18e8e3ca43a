"""Quantization of a float `.tflite`, by LiteRT Quantizer; no TensorFlow."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from litert_quantizer import calibrator, quantizer, recipe_manager
from litert_quantizer.utils import qsv_utils

from kd_tf.export.flatbuffer import count_operators, pack_model, unpack_model
from kd_tf.export.float_operators import float_recipe
from kd_tf.export.integer_input import make_input_integer
from kd_tf.export.recipes import RECIPES
from kd_tf.results import QuantizationRecord

Entries = list[dict[str, Any]]  # a recipe as LiteRT Quantizer has it


class QuantizationError(ValueError):
    """A file to which a recipe could not be applied."""


def quantize_tflite(
    float_path: str | os.PathLike[str],
    quantized_path: str | os.PathLike[str],
    *,
    recipe: str,
    examples: np.ndarray | None = None,
) -> QuantizationRecord:
    """Quantizes a float `.tflite` made by `convert_to_tflite`.

    Args:
        float_path: The float file.
        quantized_path: File to write.
        recipe: Name of `kd_tf.export.recipes.RECIPES`: `weight_only_int8`
            (weights int8, arithmetic float) or `int8` (weights, activations
            and output int8; integer-only but for a log-mel front end, the
            scaling of a table's columns, and that of a regression's several
            values).
        examples: Array (N, ...) of raw training examples, to learn the range
            of every activation from: its least and greatest value. Recipes
            without `needs_examples` do without.

    Returns:
        `QuantizationRecord` of the new file.

    Raises:
        ValueError: if there is no such recipe, or it needs examples and there
            are none.
        QuantizationError: if the quantizer cannot apply it to this file.
    """
    spec = RECIPES.find(recipe)
    samples = _require(examples, recipe) if spec.needs_examples else None
    build_recipe = spec.load()
    with open(float_path, "rb") as file:
        flatbuffer = file.read()
    try:
        with _silenced():
            entries = build_recipe() + float_recipe(flatbuffer)
            ranges = None
            if samples is not None:
                ranges = _calibrate(flatbuffer, entries, samples)
            quantized = _quantize(flatbuffer, entries, ranges)
    except Exception as error:
        raise QuantizationError(
            f"{float_path} cannot be quantized with recipe '{recipe}'. Try "
            "another recipe, or use layers that LiteRT Quantizer supports. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    model = unpack_model(quantized)
    if spec.needs_examples:
        make_input_integer(model)
    with open(quantized_path, "wb") as file:
        file.write(pack_model(model))
    return count_operators(model)


def _require(examples: np.ndarray | None, recipe: str) -> np.ndarray:
    if examples is None or not len(examples):
        raise ValueError(
            f"Recipe '{recipe}' learns ranges from examples. Pass training "
            f"examples as `examples`. Received: examples={examples}"
        )
    return examples


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Hides the sizes, progress and warnings that the quantizer prints."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _calibrate(
    flatbuffer: bytes,
    entries: Entries,
    examples: np.ndarray,
) -> dict[str, Any]:
    """Runs the float model on examples, and returns ranges of all tensors."""
    # The default is a moving average of the extremes, which clips.
    work = calibrator.Calibrator(
        flatbuffer, num_threads=1, qsv_update_func=qsv_utils.min_max_update
    )
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(entries)
    name = _input_name(flatbuffer)
    inputs = [{name: example[np.newaxis]} for example in examples]
    work.calibrate({"serving_default": inputs}, manager)
    return work.get_model_qsvs()


def _quantize(
    flatbuffer: bytes, entries: Entries, ranges: dict[str, Any] | None
) -> bytes:
    work = quantizer.Quantizer(flatbuffer)
    work.load_quantization_recipe(entries)
    return bytes(work.quantize(ranges).quantized_model)


def _input_name(flatbuffer: bytes) -> str:
    signature = unpack_model(flatbuffer).signatureDefs[0]
    return signature.inputs[0].name.decode()
