import gzip

import numpy as np
import pytest

from kd_tf.data.sources.source import ArraySpec
from kd_tf.data.sources.tfds import tfds_source
from kd_tf.data.splitting.assignment import SplitSettings
from kd_tf.tasks import IGNORED
from tests.conftest import SHARED_DATA
from tests.data.hand_made import read, write


def stacked(examples):
    """Examples and targets, in the order of their numbers."""
    x, y = zip(*read(examples).values(), strict=True)
    return np.stack(x), np.stack(y)


@pytest.fixture
def tfds_home(tmp_path, monkeypatch):
    """An empty folder in place of the one that TFDS keeps data in."""
    tfds = pytest.importorskip("tensorflow_datasets")
    # The environment variable is read once, when TFDS is imported.
    folder = str(tmp_path / "prepared")
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", folder)
    return tfds


@pytest.fixture
def make_builder(tfds_home):
    """Function registering a data set of examples held in memory."""
    tfds, names = tfds_home, []

    def make(features, parts, supervised_keys):
        class OwnData(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    supervised_keys=supervised_keys,
                )

            def _split_generators(self, dl_manager):
                return {name: enumerate(part) for name, part in parts.items()}

            def _generate_examples(self):
                raise NotImplementedError

        names.append(OwnData.name)
        return OwnData.name

    yield make
    for name in names:
        tfds.core.registered._DATASET_REGISTRY.pop(name)


@pytest.fixture
def own_builder(make_builder, tfds_home):
    """A builder of images that differ in size, with a split `validation`."""

    def examples(count):
        return [
            {
                "image": np.full((10 + i, 20 - i, 3), 40 * i, "uint8"),
                "label": i % 2,
            }
            for i in range(count)
        ]

    features = {
        "image": tfds_home.features.Image(),
        "label": tfds_home.features.ClassLabel(names=["cat", "dog"]),
    }
    parts = {"train": examples(5), "validation": examples(3)}
    return make_builder(features, parts, ("image", "label"))


def test_tfds_images_of_many_sizes_are_resized(own_builder):
    source = tfds_source(own_builder, image_size=[16, 12])
    x, y = stacked(source.train)
    assert x.shape == (5, 16, 12, 3)
    assert (x.dtype, source.example.shape) == (np.uint8, (16, 12, 3))
    assert sorted(np.unique(x)) == [0, 40, 80, 120, 160]
    np.testing.assert_array_equal(x[:, 0, 0, 0] // 40 % 2, y)
    assert source.class_names == ["cat", "dog"]


def test_tfds_without_a_test_split_is_tested_on_validation(own_builder):
    source = tfds_source(own_builder, image_size=[4, 4])
    assert source.test.count == len(read(source.test)) == 3


@pytest.fixture
def namesakes(tfds_home, tmp_path):
    """Two builders whose source files have one name: {builder: folder}."""
    tfds, folders = tfds_home, {}

    class OfPixels(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        MANUAL_DOWNLOAD_INSTRUCTIONS = "pixels.gz"

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(2, 2, 1)),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(dl_manager)}

        def _generate_examples(self, dl_manager):
            path = dl_manager.extract(dl_manager.manual_dir / "pixels.gz")
            pixels = np.frombuffer(path.read_bytes(), "uint8")
            yield 0, {"image": pixels.reshape(2, 2, 1), "label": 0}

    for grey, name in ((10, "First"), (20, "Second")):
        builder = type(name, (OfPixels,), {})
        folder = folders[builder.name] = tmp_path / name
        folder.mkdir()
        (folder / "pixels.gz").write_bytes(gzip.compress(bytes([grey] * 4)))
    yield folders
    for name in folders:
        tfds.core.registered._DATASET_REGISTRY.pop(name)


def test_tfds_files_of_one_name_are_not_mixed_up(namesakes):
    means = {
        name: read(tfds_source(name, manual_dir=str(folder)).train)[0][0].mean()
        for name, folder in namesakes.items()
    }
    assert means == {"first": 10, "second": 20}


TFDS_REFUSED = {
    "unknown": ("mnits", None, "no TFDS data set 'mnits'.*nearest are .*mnist"),
    "no one size": ("tf_flowers", None, "must be uint8 and of one size"),
    "no images": (
        "imdb_reviews",
        None,
        "has no features that can be.*: Text, ClassLabel",
    ),
}


@pytest.mark.parametrize(
    ("name", "size", "message"), TFDS_REFUSED.values(), ids=TFDS_REFUSED
)
def test_tfds_that_cannot_be_used_is_refused(name, size, message):
    with pytest.raises(ValueError, match=message):
        tfds_source(name, image_size=size)


def test_tfds_without_its_files_is_refused(tfds_home, tmp_path):
    with pytest.raises(
        ValueError, match=r"cannot be prepared\. Check the network"
    ):
        tfds_source("resisc45", manual_dir=str(tmp_path))


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the data is not here")
def test_tfds_reads_the_real_mnist_from_its_own_files(tfds_home):
    source = tfds_source("mnist", manual_dir=str(SHARED_DATA / "mnist"))
    assert (source.train.count, source.test.count) == (60_000, 10_000)
    numbers, x, y = next(source.test.chunks())
    assert source.example == ArraySpec((28, 28, 1), "uint8")
    assert x.shape == (len(numbers), 28, 28, 1)
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)


# Masks

PETS = {"pet": 1, "background": 2}


@pytest.fixture
def pets(make_builder, tfds_home):
    """Pets as `oxford_iiit_pet` has them: 1 pet, 2 background, 3 edge.

    Image i is full of 20 i; mask i is pet in its first i + 1 columns, then
    an edge of one column. The last mask has pixels of no class.
    """

    def example(i):
        mask = np.full((8, 12, 1), 2, "uint8")
        mask[:, : i + 1], mask[:, i + 1] = 1, 3
        if i == 5:
            mask[:2, 7:] = 77
        return {
            "image": np.full((8, 12, 3), 20 * i, "uint8"),
            "label": i % 2,
            "file_name": f"Pug_{i}",
            "segmentation_mask": mask,
        }

    features = tfds_home.features
    return make_builder(
        {
            "image": features.Image(),
            "label": features.ClassLabel(names=["cat", "dog"]),
            "file_name": features.Text(),
            "segmentation_mask": features.Image(
                shape=(None, None, 1), use_colormap=True
            ),
        },
        {"train": [example(i) for i in range(6)], "test": [example(0)]},
        ("image", "label"),
    )


def segment(name, **options):
    settings = {
        "target_key": "segmentation_mask",
        "classes": PETS,
        "ignored": [3],
        "image_size": (8, 12),
        "name_key": "file_name",
    }
    return tfds_source(name, **{**settings, **options})


def test_tfds_masks_become_class_numbers(pets):
    source = segment(pets)
    assert (source.task, source.class_names) == ("segmentation", list(PETS))
    assert source.target == ArraySpec((8, 12), "uint8")
    assert source.test.count == len(read(source.test)) == 1
    assert sorted(source.train.names) == [f"Pug_{i}" for i in range(6)]
    examples = read(source.train)
    assert len(examples) == 5
    for number, (image, mask) in examples.items():
        i = int(source.train.names[number][-1])
        assert (image == 20 * i).all()
        row = [0] * (i + 1) + [IGNORED] + [1] * (10 - i)
        assert mask.tolist() == [row] * 8


def test_tfds_mask_with_unknown_pixels_is_listed(pets):
    source = segment(pets)
    read(source.train)
    reason = "its mask segmentation_mask has numbers not among the classes: 77"
    assert source.problems == [("Pug_5", f"{reason} in 10 pixels")]


def test_tfds_masks_are_resized_by_the_nearest_pixel(pets):
    source = segment(pets, image_size=[4, 6], name_key=None)
    for image, mask in read(source.train).values():
        assert image.shape == (4, 6, 3)
        # Of two columns the second stands for both, halfway to the right.
        i = image[0, 0, 0] // 20
        columns = [0] * (i + 1) + [IGNORED] + [1] * (10 - i)
        assert mask.tolist() == [columns[1::2]] * 4
    assert [name for name, _ in source.problems] == [
        f"example {number} of train"
        for number in range(6)
        if number not in read(source.train)
    ]


def test_tfds_target_may_be_another_than_the_supervised_one(pets):
    source = tfds_source(pets, target_key="label", image_size=(8, 12))
    assert source.task == "classification"
    assert len(read(source.train)) == 6


PETS_REFUSED = {
    "no such target": (
        {"target_key": "mask"},
        "has no feature 'mask'.*: 'mask'",
    ),
    "target of no kind": (
        {"target_key": "file_name"},
        "no features that can be learnt.*Received: Image, Text",
    ),
    "no classes": ({"classes": None}, "`classes` must map.*: classes=None"),
    "no such name": ({"name_key": "a/b"}, "has no feature 'a/b'.*: 'a/b'"),
    "no one size": ({"image_size": None}, "must be uint8 and of one size"),
    "length of images": (
        {"seconds": 1.0},
        "holds masks. Allowed for them: image_size, .*Received: seconds",
    ),
}


@pytest.mark.parametrize(
    ("options", "message"), PETS_REFUSED.values(), ids=PETS_REFUSED
)
def test_tfds_masks_that_cannot_be_used_are_refused(pets, options, message):
    with pytest.raises(ValueError, match=message):
        segment(pets, **options)


# Recordings


@pytest.fixture
def voices(make_builder, tfds_home):
    """Function making a data set of recordings of 1 to 7 samples."""
    features = tfds_home.features

    def make(samples=None, **audio):
        if samples is None:
            samples = [np.arange(1, i + 2) for i in range(7)]
        examples = [
            {"audio": x, "label": i % 2, "about": {"speaker": f"p{i}"}}
            for i, x in enumerate(samples)
        ]
        return make_builder(
            {
                "audio": features.Audio(**{"sample_rate": 100, **audio}),
                "label": features.ClassLabel(names=["no", "yes"]),
                "about": {"speaker": features.Text()},
            },
            {"train": examples},
            ("audio", "label"),
        )

    return make


LENGTHS = {
    1: [0, 1, 0],
    2: [1, 2, 0],
    3: [1, 2, 3],
    4: [1, 2, 3],
    5: [2, 3, 4],
    6: [2, 3, 4],
    7: [3, 4, 5],
}


def test_tfds_recordings_are_fitted_to_one_length(voices):
    source = tfds_source(voices(), seconds=0.03, name_key="about/speaker")
    assert (source.sample_rate, source.task) == (100, "classification")
    assert source.example == ArraySpec((3,), "int16")
    for number, (samples, label) in read(source.train).items():
        i = int(source.train.names[number][1])
        assert samples.tolist() == LENGTHS[i + 1]
        assert label == i % 2
        assert samples.dtype == np.int16


def test_tfds_recordings_that_are_invalid_are_listed(voices):
    samples = [np.array(x) for x in ([1, 2], [0, 0], [70_000, 1], [3, 4])]
    name = voices([*samples, np.zeros(0, int)])
    source = tfds_source(name, seconds=0.02, name_key="about/speaker")
    assert sorted(x.tolist() for x, _ in read(source.train).values()) == [
        [1, 2],
        [3, 4],
    ]
    assert sorted(source.problems) == [
        ("p1", "is silent: all 2 samples taken are zero"),
        ("p2", "has samples from 1 to 70000, beyond int16"),
        ("p4", "is empty: it has no samples"),
    ]


VOICES_REFUSED = {
    "no seconds": ({}, None, "Received: int64 at 100 Hz, seconds=None"),
    "no rate": ({"sample_rate": None}, 1, "Received: int64 at None Hz"),
    "fractions": ({"dtype": np.float32}, 1, "Received: float32 at 100 Hz"),
}


@pytest.mark.parametrize(
    ("audio", "seconds", "message"),
    VOICES_REFUSED.values(),
    ids=VOICES_REFUSED,
)
def test_tfds_recordings_of_no_fixed_length_are_refused(
    voices, audio, seconds, message
):
    with pytest.raises(ValueError, match=message):
        tfds_source(voices(**audio), seconds=seconds)


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the data is not here")
def test_tfds_reads_the_real_spoken_digits_and_their_own_test(
    tfds_home, tmp_path
):
    pytest.importorskip("pydub")
    source = tfds_source(
        "spoken_digit",
        manual_dir=str(SHARED_DATA / "spoken_digit"),
        seconds=0.5,
        name_key="audio/filename",
    )
    assert source.train.count == len(source.train.names) == 2500
    assert source.example == ArraySpec((4000,), "int16")
    for numbers, _, labels in source.train.chunks():
        named = [int(source.train.names[number][0]) for number in numbers]
        assert named == labels.tolist()
    # The makers' test set: recordings 0 to 4 of every speaker and digit.
    settings = SplitSettings(test_pattern=r"_[0-4]\.wav$")
    record, splits = write(source, tmp_path / "splits", settings)
    assert record.examples == {"train": 2025, "validation": 225, "test": 250}
    assert record.examples_per_class["test"] == [25] * 10
    assert record.skipped == []
    assert record.test_split == "selected by test_pattern"
    for split in splits.values():
        assert split.examples().any(axis=1).all()
