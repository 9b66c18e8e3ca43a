import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import signal

from kd_tf.models.log_mel import LogMel, as_sequence

SPEECH = {
    "sample_rate": 16000,
    "frame_ms": 30,
    "hop_ms": 20,
    "num_mels": 40,
    "low_hz": 20,
    "high_hz": 7600,
}
OTHERS = [
    {"frame_ms": 25, "hop_ms": 10, "num_mels": 64, "low_hz": 0},
    {"sample_rate": 22050, "frame_ms": 25, "hop_ms": 10, "high_hz": 4000},
    {"sample_rate": 8000, "frame_ms": 32, "hop_ms": 32, "high_hz": 4000}
    | {"num_mels": 20},
]


def noise(*shape):
    return np.random.default_rng(0).normal(0, 0.1, shape).astype("float32")


def independently(waveform, layer, settings):
    """The same by SciPy's window, NumPy's transform, TensorFlow's bands."""
    num = 1 + (len(waveform) - layer.frame) // layer.hop
    starts = layer.hop * np.arange(num)
    frames = np.stack([waveform[i : i + layer.frame] for i in starts])
    frames = frames * signal.get_window("hann", layer.frame)
    columns = 2 * round(np.sqrt(layer.frame) / 2)
    points = columns * -(-layer.frame // columns)
    power = np.abs(np.fft.rfft(frames, points)) ** 2
    bands = tf.signal.linear_to_mel_weight_matrix(
        settings["num_mels"],
        power.shape[1],
        settings["sample_rate"],
        settings["low_hz"],
        settings["high_hz"],
        tf.float64,
    )
    return np.log(power @ bands.numpy() + 1e-6)


@pytest.mark.parametrize("change", [{}, *OTHERS])
def test_layer_agrees_with_an_independent_computation(change):
    settings = {**SPEECH, **change}
    layer, waveforms = LogMel(**settings), noise(2, 9001)
    spectrograms = layer(waveforms)
    assert spectrograms.shape == layer.compute_output_shape((2, 9001))
    for spectrogram, waveform in zip(
        spectrograms.numpy(), waveforms, strict=True
    ):
        by_others = independently(waveform, layer, settings)
        np.testing.assert_allclose(spectrogram, by_others, rtol=1e-4, atol=1e-4)


def test_a_tone_is_loudest_in_the_band_around_it():
    edges = 700 * (10 ** (np.linspace(31.75, 2786, 42) / 2595) - 1)
    for band in (5, 20, 35):
        tone = np.sin(2 * np.pi * edges[band + 1] * np.arange(800) / 16000)
        loudness = LogMel(**SPEECH)(tone[None].astype("float32"))
        assert (loudness.numpy().argmax(axis=-1) == band).all()


def test_silence_is_the_floor_and_nothing_is_infinite():
    silence = LogMel(**SPEECH)(np.zeros((1, 800), "float32"))
    np.testing.assert_allclose(silence, np.log(1e-6), rtol=1e-6)


def test_half_precision_leaves_it_alone():
    layer = LogMel(**SPEECH, dtype="mixed_float16")
    assert layer(noise(1, 800)).dtype == "float32"


def test_a_saved_layer_holds_no_weights_and_has_the_same_outputs(tmp_path):
    inputs = keras.Input((1600,))
    model = keras.Model(inputs, LogMel(**SPEECH, name="log_mel")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(
        tmp_path / "model.keras", compile=False, safe_mode=True
    )
    assert loaded.weights == []
    assert loaded.get_layer("log_mel").get_config()["frame_ms"] == 30
    waveforms = noise(3, 1600)
    np.testing.assert_array_equal(model(waveforms), loaded(waveforms))


def test_multiply_accumulates_by_hand():
    # 480 samples in 22 rows of 22; 230 of 484 frequencies lie below 7600 Hz,
    # in the first 11 columns of the spectrum.
    first, second, bands = 22 * 22 * 2 * 22, 22 * 44 * 2 * 11, 22 * 11 * 40
    assert LogMel(**SPEECH).count_macs(16000) == 49 * (first + second + bands)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"high_hz": 8001}, "at most half of `sample_rate`. Received"),
        ({"low_hz": 7600}, "less than `high_hz`"),
        ({"low_hz": float("nan")}, "less than `high_hz`"),
        ({"frame_ms": 0.1}, "at least 4 samples"),
        ({"hop_ms": 0}, "`hop_ms` at least 1"),
        ({"num_mels": 200}, "leave at least one frequency to every band"),
    ],
)
def test_invalid_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**{**SPEECH, **change})


@pytest.mark.parametrize("shape", [(479,), (None,), (800, 1)])
def test_a_tensor_that_is_not_a_waveform_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"480 samples, so waveforms .* at least 480"
    ):
        LogMel(**SPEECH)(keras.Input(shape))


def test_a_sequence_of_features_is_returned_unchanged():
    features = keras.Input((7, 5))
    assert as_sequence(features, SPEECH) is features


@pytest.mark.parametrize("shape", [(800,), (800, 1)])
def test_a_waveform_becomes_frames_of_normalized_bands(shape):
    sequence = as_sequence(keras.Input(shape), SPEECH)
    assert sequence.shape == (None, 2, 40)


def test_a_waveform_without_arguments_gets_the_defaults():
    assert as_sequence(keras.Input((800,))).shape == (None, 2, 40)


@pytest.mark.parametrize("shape", [(8, 8, 3), (None,), (None, 4), ()])
def test_a_tensor_that_is_not_a_sequence_is_refused(shape):
    with pytest.raises(ValueError, match="reads waveforms"):
        as_sequence(keras.Input(shape), SPEECH)
