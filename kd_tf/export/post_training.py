"""Quantization of a float `.tflite`, by LiteRT Quantizer; no TensorFlow."""

import collections
import contextlib
import io
import re
import warnings

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from litert_quantizer import (
    calibrator,
    qtyping,
    quantizer,
    recipe,
    recipe_manager,
)
from litert_quantizer.utils import qsv_utils

# name: LiteRT Quantizer's recipe, and whether it has to see examples.
RECIPES = {
    "weight_only_int8": (recipe.weight_only_wi8_afp32, False),
    "int8": (recipe.static_wi8_ai8, True),
}


class QuantizationError(ValueError):
    """A file to which a recipe could not be applied."""


def quantize_tflite(float_path, quantized_path, recipe_name, examples):
    """Quantizes a float `.tflite` made by `convert_to_tflite`.

    Args:
        float_path: The float file.
        quantized_path: File to write.
        recipe_name: `weight_only_int8` (weights int8, arithmetic float) or
            `int8` (weights, activations and answer int8; no float left but
            in a log-mel front end, in the scaling of a table's columns, and
            in that of a regression's several values).
        examples: Array (N, ...) of raw training examples, to learn the range
            of every activation from: its least and greatest value.

    Returns:
        Record: the operators of the file by name, and of those, how many
        still calculate in float.

    Raises:
        ValueError: if there is no such recipe.
        QuantizationError: if the quantizer cannot apply it to this file.
    """
    if recipe_name not in RECIPES:
        raise ValueError(
            f"`recipe_name` must be one of {', '.join(RECIPES)}. "
            f"Received: recipe_name='{recipe_name}'"
        )
    build_recipe, needs_examples = RECIPES[recipe_name]
    with open(float_path, "rb") as file:
        flatbuffer = file.read()
    try:
        with _silenced():
            recipe_list = build_recipe() + _float_recipe(flatbuffer)
            ranges = None
            if needs_examples:
                ranges = _calibrate(flatbuffer, recipe_list, examples)
            work = quantizer.Quantizer(flatbuffer)
            work.load_quantization_recipe(recipe_list)
            quantized = bytes(work.quantize(ranges).quantized_model)
    except Exception as error:
        raise QuantizationError(
            f"{float_path} cannot be quantized to {recipe_name}. Allowed: "
            "operators that LiteRT Quantizer knows; another recipe may do. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    model = _unpack(quantized)
    if needs_examples:
        _make_input_integer(model)
    with open(quantized_path, "wb") as file:
        file.write(_pack(model))
    return _operators(model)


@contextlib.contextmanager
def _silenced():
    """Without the sizes, progress and warnings that the quantizer prints."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _calibrate(flatbuffer, recipe_list, examples):
    # The default is a moving average of the extremes, which clips.
    work = calibrator.Calibrator(
        flatbuffer, num_threads=1, qsv_update_func=qsv_utils.min_max_update
    )
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe_list)
    name = _input_name(flatbuffer)
    samples = [{name: example[None]} for example in examples]
    work.calibrate({"serving_default": samples}, manager)
    return work.get_model_qsvs()


def _input_name(flatbuffer):
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    return model.signatureDefs[0].inputs[0].name.decode()


def _float_recipe(flatbuffer):
    """Leaves a log-mel spectrogram or a table's columns, and all that they
    are made from, in float; and several values, with all made from them.

    A power spectrum spans far more than 8 bits; its logarithm does not. Of
    the constants the mel bands alone become int8: they are the largest, and
    their zeros stay zeros.
    """
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    graph = model.subgraphs[0]
    makers = {i: [op] for op in graph.operators for i in op.outputs}
    inward = _reached(graph, _IN_FLOAT, lambda op: op.inputs, makers)
    users = collections.defaultdict(list)
    for op in graph.operators:
        for i in op.inputs:
            users[i].append(op)
    outward = _reached(graph, _OUT_IN_FLOAT, lambda op: op.outputs, users)
    manager = recipe_manager.RecipeManager()
    for scope in sorted(inward | outward):
        manager.add_quantization_config(
            f"^{re.escape(scope)}$",
            qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE,
        )
    for scopes, end in ((inward, "INPUT"), (outward, "OUTPUT")):
        if scopes:
            manager.add_quantization_config(
                ".*",
                qtyping.TFLOperationName[end],
                algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE,
            )
    if inward:
        manager.add_weight_only_config(
            _IN_FLOAT.pattern + "bands/",
            qtyping.TFLOperationName.FULLY_CONNECTED,
            num_bits=8,
        )
    return manager.get_quantization_recipe()


# The layer `LogMel`, which Keras may count: log_mel/, log_mel_1/; and what
# `kd_tf.export.convert` does to columns and values, which no one scale would fit.
_IN_FLOAT = re.compile(r"(?:^|/)(?:log_mel(?:_\d+)?|scale_columns)/")
_OUT_IN_FLOAT = re.compile(r"(?:^|/)scale_values/")


def _reached(graph, pattern, ways, neighbours):
    """Names of the operators that fit, and of all they lead to."""
    scopes = {}
    waiting = [
        op for op in graph.operators if pattern.search(_scope(graph, op))
    ]
    while waiting:
        op = waiting.pop()
        if id(op) not in scopes:
            scopes[id(op)] = _scope(graph, op)
            for i in ways(op):
                waiting += neighbours.get(i, ())
    return set(scopes.values())


def _scope(graph, op):
    """The quantizer's name of an operator: those of its outputs."""
    return "".join(f"{graph.tensors[i].name.decode()};" for i in op.outputs)


def _make_input_integer(model):
    """Replaces CAST to float and QUANTIZE by one QUANTIZE from uint8.

    A pixel is a uint8 number of scale 1 and zero point 0 as it stands, so the
    device need not touch a float.
    """
    graph = model.subgraphs[0]
    (image,) = graph.inputs
    if graph.tensors[image].type != schema.TensorType.UINT8:
        return
    after = _consumers(graph, image)
    if [_name(model, op) for op in after] != ["CAST"]:
        return
    cast = after[0]
    (pixels,) = cast.outputs
    quantize = _consumers(graph, pixels)
    if [_name(model, op) for op in quantize] != ["QUANTIZE"]:
        return
    graph.tensors[image].quantization = schema.QuantizationParametersT(
        scale=[1.0], zeroPoint=[0]
    )
    quantize[0].inputs = [image]
    graph.operators.remove(cast)
    _remove_tensor(model, pixels)


def _remove_tensor(model, index):
    graph = model.subgraphs[0]
    del graph.tensors[index]

    def moved(i):
        return i - 1 if i > index else i

    graph.inputs = [moved(i) for i in graph.inputs]
    graph.outputs = [moved(i) for i in graph.outputs]
    for op in graph.operators:
        op.inputs = [moved(i) for i in op.inputs]
        op.outputs = [moved(i) for i in op.outputs]
    for signature in model.signatureDefs:
        for tensor in (*signature.inputs, *signature.outputs):
            tensor.tensorIndex = moved(tensor.tensorIndex)


def _consumers(graph, tensor):
    return [op for op in graph.operators if tensor in op.inputs]


def _unpack(flatbuffer):
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for buffer in model.buffers:
        # From 256 KiB on, the quantizer writes constants behind the model.
        if buffer.offset:
            buffer.data = np.frombuffer(
                flatbuffer, "uint8", buffer.size, buffer.offset
            )
            buffer.offset = buffer.size = 0
    return model


def _pack(model):
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _operators(model):
    graph = model.subgraphs[0]
    float_ops = collections.Counter()
    all_ops = collections.Counter()
    for op in graph.operators:
        all_ops[_name(model, op)] += 1
        tensors = [i for i in (*op.inputs, *op.outputs) if i >= 0]
        types = {graph.tensors[i].type for i in tensors}
        float_ops[_name(model, op)] += schema.TensorType.FLOAT32 in types
    return {"operators": dict(all_ops), "in_float": dict(+float_ops)}


_OPERATOR_NAMES = {
    code: name
    for name, code in vars(schema.BuiltinOperator).items()
    if isinstance(code, int)
}


def _name(model, op):
    return _OPERATOR_NAMES[model.operatorCodes[op.opcodeIndex].builtinCode]
