"""Log-mel spectrograms of waveforms, inside the model and its file.

Shapes: B examples, S samples, F frames, M mel bands. A frame has N samples,
laid out as R rows of C columns.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kd_tf.models.blocks import MOMENTUM
from kd_tf.ranges import Count, NonNegative, Positive

Tensor = Any  # float, shaped as each docstring says
Array = np.ndarray

_FLOOR = 1e-6  # of the power, so that silence has a logarithm


@keras.saving.register_keras_serializable(package="kd_tf")
class LogMel(layers.Layer):
    """Computes the logarithm of the power in the mel bands of every frame.

    Constants become part of the `.tflite` file, so their size matters. The
    Fourier transform is two small matrix products with a rotation between
    (Cooley and Tukey's first step): at 16 kHz, frames of 30 ms and 40 bands
    its kernels take 13 kB, and a second of sound 0.11 ms on one thread. As
    one matrix it takes 930 kB and 0.19 ms; as the operator RFFT2D nothing and
    0.19 ms, but LiteRT for microcontrollers, which has no complex numbers,
    lacks it. The bands take 39 kB, a quarter of it in a quantized file, where
    all else here stays in float: a power spectrum spans too much for 8 bits.

    Input: float (B, S), in [-1, 1). Output: float32 (B, F, M), the natural
    logarithm of the power in each band, at least ln(1e-6). Frames begin every
    hop and lie within the waveform.

    Args:
        sample_rate: Samples per second of the waveforms.
        frame_ms: Length of a frame in milliseconds.
        hop_ms: Time from the start of one frame to that of the next, in
            milliseconds.
        num_mels: Number of bands M.
        low_hz: Lower edge of the lowest band in hertz.
        high_hz: Upper edge of the highest band in hertz, at most half of
            `sample_rate`.

    Raises:
        ValueError: if an argument is out of range, a band is too narrow to
            contain a frequency, or a waveform is shorter than a frame.

    Reference:
        Davis and Mermelstein, 1980, https://doi.org/10.1109/TASSP.1980.1163420
        (without the last step, the cosine transform).
    """

    def __init__(
        self,
        *,
        sample_rate: Count = 16000,
        frame_ms: Positive = 30.0,
        hop_ms: Positive = 20.0,
        num_mels: Count = 40,
        low_hz: NonNegative = 20.0,
        high_hz: Positive = 7600.0,
        **kwargs: Any,
    ) -> None:
        # Half precision has neither the range nor the digits.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if not 0 <= low_hz < high_hz <= sample_rate / 2:
            raise ValueError(
                "`low_hz` must be at least 0 and less than `high_hz`, which "
                "must be at most half of `sample_rate`. Received: "
                f"low_hz={low_hz}, high_hz={high_hz}, "
                f"sample_rate={sample_rate}"
            )
        self.frame = round(sample_rate * frame_ms / 1000)
        self.hop = round(sample_rate * hop_ms / 1000)
        if not (self.frame >= 4 and self.hop >= 1):
            raise ValueError(
                "`frame_ms` must span at least 4 samples, `hop_ms` at least 1. "
                f"Received: frame_ms={frame_ms}, hop_ms={hop_ms}, "
                f"sample_rate={sample_rate}"
            )
        self._settings: dict[str, Any] = {
            "sample_rate": sample_rate,
            "frame_ms": frame_ms,
            "hop_ms": hop_ms,
            "num_mels": num_mels,
            "low_hz": low_hz,
            "high_hz": high_hz,
        }
        # Near a square, so that both matrices are small; an even number of
        # columns, so that half of them is half of the spectrum.
        self._columns = 2 * max(1, round(math.sqrt(self.frame) / 2))
        self._rows = math.ceil(self.frame / self._columns)
        self._window = _hann(self.frame)
        self._first, self._turn, self._second = self._fourier()
        self._bands = self._mel_bands()

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), **self._settings}

    def num_frames(self, samples: int) -> int:
        """Number of whole frames in a waveform of so many samples."""
        return 1 + (samples - self.frame) // self.hop

    def count_macs(self, samples: int) -> int:
        """Multiply-accumulates of one waveform, in its matrix products."""
        first = 2 * self._columns * self._rows**2
        second = self._rows * self._second[0].size * 2
        return self.num_frames(samples) * (first + second + self._bands.size)

    def compute_output_shape(
        self, input_shape: Sequence[int]
    ) -> tuple[int, ...]:
        """Returns (B, F, M) for (B, S)."""
        self._check(input_shape)
        frames = self.num_frames(input_shape[1])
        return (input_shape[0], frames, self._settings["num_mels"])

    def call(self, waveform: Tensor) -> Tensor:
        """Returns float32 (B, F, M) for waveforms (B, S)."""
        self._check(waveform.shape)
        power = self._power(self._frames(waveform) * self._window)
        with keras.name_scope("bands"):
            return ops.log(ops.matmul(power, self._bands) + _FLOOR)

    def _check(self, shape: Sequence[int]) -> None:
        if len(shape) != 2 or not shape[1] or shape[1] < self.frame:
            raise ValueError(
                f"a frame has {self.frame} samples, so waveforms (B, S) must "
                f"have a fixed length S of at least {self.frame}. Received: "
                f"{tuple(shape)}"
            )

    def _frames(self, waveform: Tensor) -> Tensor:
        """(B, S) -> (B, F, N), from slices of the waveform split into hops."""
        frames = self.num_frames(waveform.shape[1])
        overlaps = math.ceil(self.frame / self.hop)
        hops = frames + overlaps - 1
        missing = max(0, hops * self.hop - waveform.shape[1])
        padded = ops.pad(waveform, [[0, 0], [0, missing]])
        split = ops.reshape(padded[:, : hops * self.hop], (-1, hops, self.hop))
        shifted = [split[:, i : i + frames] for i in range(overlaps)]
        return ops.concatenate(shifted, axis=-1)[..., : self.frame]

    def _power(self, frames: Tensor) -> Tensor:
        """(B, F, N) -> power of the frequencies, in the order of `_bands`."""
        rows, columns, num = self._rows, self._columns, frames.shape[1]
        padding = rows * columns - self.frame
        x = ops.pad(frames, [[0, 0], [0, 0], [0, padding]])
        x = ops.reshape(x, (-1, num, rows, columns))
        x = ops.transpose(x, (0, 1, 3, 2))
        real, imaginary = (ops.matmul(x, kernel) for kernel in self._first)
        cos, sin = self._turn
        x = ops.concatenate(
            [real * cos - imaginary * sin, real * sin + imaginary * cos],
            axis=2,
        )
        x = ops.transpose(x, (0, 1, 3, 2))
        real, imaginary = (ops.matmul(x, kernel) for kernel in self._second)
        power = ops.square(real) + ops.square(imaginary)
        return ops.reshape(power, (-1, num, len(self._bands)))

    def _fourier(
        self,
    ) -> tuple[tuple[Array, Array], tuple[Array, Array], tuple[Array, Array]]:
        """Kernels over the rows, the rotation between, over the columns.

        Of sample `columns * row + column`, frequency `low + rows * high`
        turns by the angle -2 pi (row * low / rows + column * low / points +
        column * high / columns).
        """
        rows, columns = np.arange(self._rows), np.arange(self._columns)
        first = _turns(np.outer(rows, rows) / self._rows)
        points = self._rows * self._columns
        turn = _turns(np.outer(columns, rows) / points)
        # Rows of frequencies above the highest band are not calculated.
        top = self._settings["high_hz"] / self._settings["sample_rate"]
        high = np.arange(math.ceil(top * self._columns))
        cos, sin = _turns(np.outer(columns, high) / self._columns)
        second = (np.concatenate([cos, -sin]), np.concatenate([sin, cos]))
        return first, turn, second

    def _mel_bands(self) -> Array:
        """(frequencies, M): triangles on the mel scale, each of height 1."""
        settings, rows = self._settings, np.arange(self._rows)[:, None]
        high = np.arange(self._second[0].shape[1])
        points = self._rows * self._columns
        hz = (rows + self._rows * high) * settings["sample_rate"] / points
        edges = np.linspace(
            _mel(settings["low_hz"]),
            _mel(settings["high_hz"]),
            settings["num_mels"] + 2,
        )
        mel, step = _mel(hz.reshape(-1, 1)), edges[1] - edges[0]
        bands = np.maximum(0, 1 - abs(mel - edges[1:-1]) / step)
        if not bands.any(axis=0).all():
            raise ValueError(
                "`num_mels` must leave at least one frequency to every band; "
                f"frequencies are {settings['sample_rate'] / points:.3g} Hz "
                f"apart. Received: num_mels={settings['num_mels']}"
            )
        return bands.astype("float32")


def as_sequence(
    inputs: Tensor, log_mel: Mapping[str, Any] | None = None
) -> Tensor:
    """Makes a sequence of features from a waveform, if it is one.

    Args:
        inputs: Keras tensor (B, S) or (B, S, 1), waveforms, or (B, steps,
            features), which is returned unchanged.
        log_mel: Arguments of `LogMel`, for waveforms; None for its defaults.

    Returns:
        Keras tensor (B, steps, features); for a waveform the log-mel
        spectrogram, each band normalized over the training data.

    Raises:
        ValueError: if the tensor has other axes, or no fixed length.
    """
    shape = inputs.shape[1:]
    if len(shape) not in (1, 2) or None in shape:
        raise ValueError(
            "a model of sequences reads waveforms (samples,) or (samples, 1), "
            f"or (steps, features), of fixed length. Received: {shape}"
        )
    if len(shape) == 2 and shape[1] > 1:
        return inputs
    if len(shape) == 2:
        inputs = layers.Reshape(shape[:1], name="one_channel")(inputs)
    x = LogMel(**(log_mel or {}), name="log_mel")(inputs)
    return layers.BatchNormalization(momentum=MOMENTUM, name="log_mel_norm")(x)


def _hann(samples: int) -> Array:
    turns = np.arange(samples) / samples
    return (0.5 - 0.5 * np.cos(2 * np.pi * turns)).astype("float32")


def _turns(turns: Array) -> tuple[Array, Array]:
    """Cosine and sine of as many turns, clockwise."""
    angle = -2 * np.pi * turns
    return np.cos(angle).astype("float32"), np.sin(angle).astype("float32")


def _mel(hz: Any) -> Any:
    return 2595 * np.log10(1 + np.asarray(hz) / 700)
