"""Changes of training examples that keep their meaning.

Stateless: what happens to a batch is decided by the seed and its number in
the training alone, so that a resumed training sees what it would have seen.
(Keras's preprocessing layers keep a state, and cannot promise that.) Image
and mask are changed alike, a batch at a time.

Shapes: B examples, H height, W width, C channels, S samples, K classes.
"""

import dataclasses
from typing import Annotated, Any, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field

from kd_tf.ranges import Fraction, Positive
from kd_tf.tasks.task import IGNORED

Tensor = Any

# Every change draws from a stream of its own.
_FLIP, _ROTATE, _CROP, _COLOUR, _MIXUP, _SHIFT, _NOISE, _MASK = range(8)
_NOISE_SAMPLES = 14
_OF_IMAGES = ("flip", "rotate", "crop", "colour")
_OF_SOUND = ("shift", "noise", "spec_augment")
_HALF_TURN = 3.141592653589793


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a batch of raw examples, before normalization.

    Attributes:
        num_classes: K of the targets; used by `mixup`.
        flip: Mirrors half of the images along each of these axes.
        rotate: `quarter` for multiples of 90 degrees (square images alone),
            or the greatest angle in degrees.
        crop: Least fraction of height and width that is kept and enlarged to
            the whole.
        colour: Greatest relative change of brightness, contrast, and each
            channel's gain.
        mixup: Concentration of the Beta distribution of the weights by which
            two examples of a batch are averaged; targets become fractions of
            classes (Zhang et al., 2017, https://arxiv.org/abs/1710.09412).
        shift: Greatest shift of a recording either way, as a fraction of its
            length; silence moves in.
        noise: Greatest noise, relative to a recording's root mean square.
        spec_augment: Greatest fraction of the time, and of the band, that is
            silenced in a recording (Park et al., 2019,
            https://arxiv.org/abs/1904.08779, on the waveform).
    """

    num_classes: int
    flip: Literal["horizontal", "vertical", "both"] | None = None
    rotate: (
        Literal["quarter"] | Annotated[float, Field(gt=0, le=180)] | None
    ) = None
    crop: Annotated[float, Field(gt=0, le=1)] | None = None
    colour: Fraction | None = None
    mixup: Positive | None = None
    shift: Fraction | None = None
    noise: Positive | None = None
    spec_augment: Fraction | None = None

    def check(self, examples: np.ndarray) -> None:
        """Checks that these examples can be changed in these ways.

        Args:
            examples: Array (N, H, W, C) of pixels, (N, S) of samples, or of
                anything else, which `mixup` alone can change.

        Raises:
            ValueError: if they cannot.
        """
        is_sound = examples.ndim == 2 and examples.dtype == "int16"
        for names, fits, what in (
            (_OF_IMAGES, examples.ndim == 4, "images"),
            (_OF_SOUND, is_sound, "int16 recordings"),
        ):
            given = [n for n in names if getattr(self, n) is not None]
            if given and not fits:
                raise ValueError(
                    f"{', '.join(given)} changes {what} alone; leave it out. "
                    f"Received: {', '.join(given)} for {examples.dtype} of "
                    f"shape {examples.shape[1:]}"
                )
        if self.rotate == "quarter" and examples.shape[1] != examples.shape[2]:
            raise ValueError(
                "rotate='quarter' needs square images; give an angle in "
                f"degrees instead. Received: shape {examples.shape[1:]}"
            )

    def __call__(
        self, x: Tensor, y: Tensor, seed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Changes a batch.

        Args:
            x: Tensor (B, H, W, C) of pixels, or (B, S) of samples.
            y: Targets (B, ...); (B, H, W) of class numbers are masks, and
                change with their images.
            seed: int64 tensor (2,).

        Returns:
            Float32 tensor of the shape of `x`, and targets; with `mixup`
            float32 with a last axis K more where they were class numbers.
        """
        x = tf.cast(x, tf.float32)
        if x.shape.rank == 4:
            x, y = self._move(x, y, seed)
            if self.colour is not None:
                x = _tint(x, seed, self.colour)
        if self.shift is not None:
            x = _shift(x, seed, self.shift)
        if self.noise is not None:
            x = _add_noise(x, seed, self.noise)
        if self.spec_augment is not None:
            x = _silence(x, seed, self.spec_augment)
        if self.mixup is not None:
            x, y = self._mix(x, y, seed)
        return x, y

    def _move(
        self, x: Tensor, y: Tensor, seed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Flip, rotation and crop in one resampling."""
        if self.flip is None and self.rotate is None and self.crop is None:
            return x, y
        matrix = self._inverse_motion(x, seed)
        moved = _resample(x, matrix, "BILINEAR")
        if y.shape.rank == 3:
            mask = tf.cast(y[..., tf.newaxis], tf.float32)
            mask = _resample(mask, matrix, "NEAREST")
            y = tf.cast(tf.round(mask[..., 0]), y.dtype)
        return moved, y

    def _inverse_motion(self, x: Tensor, seed: Tensor) -> Tensor:
        """(B, 8): where each pixel of the result is taken from."""
        batch, (height, width) = tf.shape(x)[0], x.shape[1:3]
        angle = self._angle(seed, batch)
        mirror = [
            self._mirror(seed, batch, axis)
            for axis in ("horizontal", "vertical")
        ]
        kept = tf.ones((3, batch))
        if self.crop is not None:
            kept = _uniform(seed, _CROP, (3, batch), 0, 1)
        least = 1.0 if self.crop is None else self.crop
        scale = least + (1 - least) * kept[0]
        # In coordinates from the centre: mirror, scale, turn, move.
        cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
        a, b = cos * mirror[0], -sin * mirror[1]
        c, d = sin * mirror[0], cos * mirror[1]
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        move_x = (1 - scale) * (2 * kept[1] - 1) * middle_x
        move_y = (1 - scale) * (2 * kept[2] - 1) * middle_y
        dx = middle_x + move_x - a * middle_x - b * middle_y
        dy = middle_y + move_y - c * middle_x - d * middle_y
        zero = tf.zeros_like(a)
        return tf.stack([a, b, dx, c, d, dy, zero, zero], axis=1)

    def _angle(self, seed: Tensor, batch: Tensor) -> Tensor:
        if self.rotate is None:
            return tf.zeros(batch)
        if self.rotate == "quarter":
            turns = _uniform(seed, _ROTATE, (batch,), 0, 4)
            return tf.floor(turns) * _HALF_TURN / 2
        greatest = self.rotate * _HALF_TURN / 180
        return _uniform(seed, _ROTATE, (batch,), -greatest, greatest)

    def _mirror(self, seed: Tensor, batch: Tensor, axis: str) -> Tensor:
        if self.flip not in (axis, "both"):
            return tf.ones(batch)
        draws = _uniform(seed, _FLIP, (2, batch), -1, 1)
        return tf.where(draws[int(axis == "vertical")] < 0, -1.0, 1.0)

    def _mix(self, x: Tensor, y: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        batch = tf.shape(x)[0]
        draws = tf.random.stateless_gamma(
            (2, batch), _seed_of(seed, _MIXUP), self.mixup
        )
        # Of two Gamma variables, one's part of the sum is a Beta variable.
        weight = draws[0] / (draws[0] + draws[1])
        if y.dtype.is_integer and y.shape.rank != 2:
            # An ignored pixel is of no class: a row of zeros.
            y = tf.cast(y, tf.int64)
            y = tf.where(y == IGNORED, tf.constant(-1, tf.int64), y)
            y = tf.one_hot(y, self.num_classes)
        return _blend(x, weight), _blend(tf.cast(y, tf.float32), weight)


def _tint(x: Tensor, seed: Tensor, greatest: float) -> Tensor:
    batch, channels = tf.shape(x)[0], x.shape[-1]
    draws = _uniform(seed, _COLOUR, (channels + 2, batch, 1, 1), -1, 1)
    draws *= greatest
    gains = 1 + tf.stack(tf.unstack(draws[:channels]), axis=-1)
    mean = tf.reduce_mean(x, axis=(1, 2, 3), keepdims=True)
    contrast = 1 + draws[channels][..., tf.newaxis]
    brightness = draws[channels + 1][..., tf.newaxis] * 128
    x = ((x - mean) * contrast + mean + brightness) * gains
    return tf.clip_by_value(x, 0.0, 255.0)


def _shift(x: Tensor, seed: Tensor, greatest: float) -> Tensor:
    batch, samples = tf.shape(x)[0], x.shape[1]
    by = _uniform(seed, _SHIFT, (batch, 1), -greatest, greatest)
    take = tf.range(samples) - tf.cast(by * samples, tf.int32)
    inside = (take >= 0) & (take < samples)
    taken = tf.gather(x, tf.clip_by_value(take, 0, samples - 1), batch_dims=1)
    return tf.where(inside, taken, 0.0)


def _add_noise(x: Tensor, seed: Tensor, greatest: float) -> Tensor:
    level = _uniform(seed, _NOISE, (tf.shape(x)[0], 1), 0, greatest)
    loudness = tf.sqrt(tf.reduce_mean(x**2, axis=1, keepdims=True))
    noise = tf.random.stateless_normal(
        tf.shape(x), _seed_of(seed, _NOISE_SAMPLES)
    )
    return x + level * loudness * noise


def _silence(x: Tensor, seed: Tensor, greatest: float) -> Tensor:
    batch, samples = tf.shape(x)[0], x.shape[1]
    draws = _uniform(seed, _MASK, (4, batch, 1), 0, 1)
    x = x * _gap(draws[0], draws[1] * greatest, samples)
    bands = samples // 2 + 1
    kept = _gap(draws[2], draws[3] * greatest, bands)
    spectrum = tf.signal.rfft(x) * tf.cast(kept, tf.complex64)
    return tf.signal.irfft(spectrum, [samples])


def _seed_of(seed: Tensor, stream: int) -> Tensor:
    return tf.stack([seed[0] * 1_000_003 + stream, seed[1]])


def _uniform(
    seed: Tensor, stream: int, shape: Any, least: float, greatest: float
) -> Tensor:
    return tf.random.stateless_uniform(
        shape, _seed_of(seed, stream), least, greatest
    )


def _resample(images: Tensor, matrix: Tensor, interpolation: str) -> Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrix,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="REFLECT",
    )


def _gap(start: Tensor, fraction: Tensor, length: int) -> Tensor:
    """(B, length) of ones with a gap of zeros."""
    width = fraction * length
    first = start * (length - width)
    place = tf.range(length, dtype=tf.float32)
    return tf.where((place >= first) & (place < first + width), 0.0, 1.0)


def _blend(values: Tensor, weight: Tensor) -> Tensor:
    weight = tf.reshape(weight, [-1] + [1] * (values.shape.rank - 1))
    return weight * values + (1 - weight) * tf.reverse(values, [0])
