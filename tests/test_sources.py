import gzip

import numpy as np
import pytest

from kd_tf import digits_source, npz_source, tfds_source
from kd_tf.data.sources import as_pixels
from tests.conftest import SHARED_DATA


def read(examples):
    x, y = zip(*examples.chunks(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def test_digits_are_the_bundled_scans():
    source = digits_source()
    x, y = read(source.train)
    assert source.example_shape == (8, 8, 1)
    assert (x.shape, x.dtype, x.max()) == ((1797, 8, 8, 1), np.uint8, 16)
    assert source.class_names == [str(digit) for digit in range(10)]
    assert list(y[:10]) == list(range(10))
    assert source.test is None


def test_npz_is_read_as_written(npz_file):
    path = npz_file()
    source = npz_source(path)
    with np.load(path) as arrays:
        for examples, part in ((source.train, "train"), (source.test, "test")):
            x, y = read(examples)
            np.testing.assert_array_equal(x[..., 0], arrays[f"x_{part}"])
            np.testing.assert_array_equal(y, arrays[f"y_{part}"])
            assert examples.count == len(y)
    assert source.class_names == ["0", "1", "2"]


ACCEPTED = {
    "channels": {"x_train": (60, 8, 8, 3), "x_test": (15, 8, 8, 3)},
    "vectors": {"x_train": (60, 5), "x_test": (15, 5)},
}


@pytest.mark.parametrize("shapes", ACCEPTED.values(), ids=ACCEPTED)
def test_npz_shapes(npz_file, shapes):
    arrays = {k: np.full(shape, 7, "uint8") for k, shape in shapes.items()}
    source = npz_source(npz_file(**arrays))
    assert source.example_shape == shapes["x_train"][1:]
    np.testing.assert_array_equal(read(source.train)[0], arrays["x_train"])


@pytest.mark.parametrize("dtype", ["float64", "int64", ">i4", "bool"])
def test_npz_of_whole_numbers_in_any_type(npz_file, dtype):
    x = np.random.default_rng(1).integers(0, 2, (60, 8, 8)).astype(dtype)
    source = npz_source(npz_file(x_train=x))
    np.testing.assert_array_equal(read(source.train)[0][..., 0], x)


def test_npz_in_fortran_order_and_labels_as_a_column(npz_file):
    x = np.asfortranarray(np.arange(60 * 64).reshape(60, 8, 8) % 256)
    y = (np.arange(60) % 3).reshape(60, 1)
    source = npz_source(npz_file(x_train=x, y_train=y))
    images, labels = read(source.train)
    np.testing.assert_array_equal(images[..., 0], x)
    np.testing.assert_array_equal(labels, y[:, 0])


def test_npz_is_read_in_chunks(npz_file, monkeypatch):
    monkeypatch.setattr("kd_tf.data.npz._CHUNK_BYTES", 7 * 64)
    chunks = list(npz_source(npz_file()).train.chunks())
    assert [len(y) for _, y in chunks] == [7] * 8 + [4]


def test_npz_class_names(npz_file):
    path = npz_file(class_names=np.array(["cat", "dog", "eel"]))
    assert npz_source(path).class_names == ["cat", "dog", "eel"]


REFUSED = {
    "missing arrays": (
        {"x_test": None, "y_test": None},
        "lacks x_test, y_test. Allowed: an .npz with x_train, y_train, "
        "x_test, y_test. Received: x_train, y_train",
    ),
    "objects": (
        {"y_train": np.array([{}] * 60, dtype=object)},
        "Python objects in y_train.* Received: dtype object",
    ),
    "fractions": (
        {"x_train": np.full((60, 8, 8), 0.5)},
        "no pixels. Allowed: whole numbers from 0 to 255. Received: float64",
    ),
    "negative": (
        {"x_train": np.full((60, 8, 8), -1)},
        "Received: int64 from -1 to -1",
    ),
    "not a number": ({"x_train": np.full((60, 8, 8), np.nan)}, "no pixels"),
    "labels one-hot": (
        {"y_train": np.eye(60)},
        r"no class numbers. Allowed: whole numbers from 0, of shape \(N,\)",
    ),
    "labels of fractions": ({"y_train": np.full(60, 0.5)}, "no class numbers"),
    "too few labels": (
        {"y_train": np.zeros(59, int)},
        "Received: 60 in x_train, 59 in y_train",
    ),
    "unequal shapes": (
        {"x_test": np.zeros((15, 9, 9), "uint8")},
        r"unequal.* Received: \(60, 8, 8\) and \(15, 9, 9\)",
    ),
    "too few names": (
        {"class_names": np.array(["cat"])},
        "names too few classes. Allowed: one for each of the 3",
    ),
}


@pytest.mark.parametrize(("arrays", "message"), REFUSED.values(), ids=REFUSED)
def test_npz_that_cannot_be_used_is_refused(npz_file, arrays, message):
    with pytest.raises(ValueError, match=message):
        read(npz_source(npz_file(**arrays)).train)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", None])
def test_file_that_is_no_npz_is_refused(npz_file, content):
    path = npz_file()
    with open(path, "rb") as file:
        whole = file.read()
    with open(path, "wb") as file:
        file.write(whole[:700] if content is None else content)
    with pytest.raises(ValueError, match="is no .npz archive. Allowed"):
        npz_source(path)


def test_pixels_of_uint8_are_not_copied():
    x = np.zeros((2, 2), "uint8")
    assert as_pixels(x, "x") is x


@pytest.fixture
def tfds_home(tmp_path, monkeypatch):
    """An empty folder in place of the one that TFDS keeps data in."""
    tfds = pytest.importorskip("tensorflow_datasets")
    # The environment variable is read once, when TFDS is imported.
    folder = str(tmp_path / "prepared")
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", folder)
    return tfds


@pytest.fixture
def own_builder(tfds_home):
    """A builder of images that differ in size, with a split `validation`."""
    tfds = tfds_home

    class ManySizes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._examples(5), "validation": self._examples(3)}

        def _generate_examples(self):
            raise NotImplementedError

        def _examples(self, count):
            for i in range(count):
                image = np.full((10 + i, 20 - i, 3), 40 * i, "uint8")
                yield i, {"image": image, "label": i % 2}

    yield "many_sizes"
    tfds.core.registered._DATASET_REGISTRY.pop("many_sizes")


def test_tfds_images_of_many_sizes_are_resized(own_builder):
    source = tfds_source(own_builder, image_size=[16, 12])
    x, y = read(source.train)
    assert x.shape == (5, 16, 12, 3)
    assert (x.dtype, source.example_shape) == (np.uint8, (16, 12, 3))
    assert sorted(np.unique(x)) == [0, 40, 80, 120, 160]
    np.testing.assert_array_equal(x[:, 0, 0, 0] // 40 % 2, y)
    assert source.class_names == ["cat", "dog"]


def test_tfds_without_a_test_split_is_tested_on_validation(own_builder):
    source = tfds_source(own_builder, image_size=[4, 4])
    assert (source.test.count, len(read(source.test)[1])) == (3, 3)


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
    found = {
        name: read(tfds_source(name, manual_dir=str(folder)).train)[0].mean()
        for name, folder in namesakes.items()
    }
    assert found == {"first": 10, "second": 20}


TFDS_REFUSED = {
    "unknown": ("mnits", None, "no TFDS data set 'mnits'.*nearest .*mnist"),
    "no one size": ("tf_flowers", None, "Allowed: uint8 images of one size"),
    "no images": ("imdb_reviews", None, "does not classify images"),
}


@pytest.mark.parametrize(
    ("name", "size", "message"), TFDS_REFUSED.values(), ids=TFDS_REFUSED
)
def test_tfds_that_cannot_be_used_is_refused(name, size, message):
    with pytest.raises(ValueError, match=message):
        tfds_source(name, image_size=size)


def test_tfds_without_its_files_is_refused(tfds_home, tmp_path):
    with pytest.raises(ValueError, match="cannot be prepared. Allowed: a net"):
        tfds_source("resisc45", manual_dir=str(tmp_path))


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the data is not here")
def test_tfds_reads_the_real_mnist_from_its_own_files(tfds_home):
    source = tfds_source("mnist", manual_dir=str(SHARED_DATA / "mnist"))
    assert (source.train.count, source.test.count) == (60_000, 10_000)
    x, y = next(source.test.chunks())
    assert x.shape[1:] == source.example_shape == (28, 28, 1)
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)
