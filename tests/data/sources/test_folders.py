"""Folders of images, and of images with masks."""

import functools
import threading
import time

import numpy as np
import pytest
from PIL import Image

from kd_tf.data.decoding.files import BadFile, list_files, read_in_order
from kd_tf.data.decoding.images import open_image
from kd_tf.data.sources.image_folder import image_folder_source
from kd_tf.data.sources.segmentation_folder import (
    segmentation_folder_source,
    to_multilabel,
)
from kd_tf.data.splitting.assignment import SplitSettings
from kd_tf.data.splitting.splits import SPLITS, Split, write_splits
from kd_tf.tasks import IGNORED
from tests.conftest import SHARED_DATA

CUT = SplitSettings(validation_fraction=0.25, test_fraction=0.25)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels
    if not isinstance(pixels, Image.Image):
        image = Image.fromarray(np.asarray(pixels, "uint8"))
    image.save(path, **options)
    return path


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype="uint8")


def read(source):
    """{number of an example: (example, target)}."""
    return {
        int(number): (example, target)
        for numbers, x, y in source.train.chunks()
        for number, example, target in zip(numbers, x, y, strict=True)
    }


# Files


def test_files_are_found_however_deep_and_hidden_ones_are_not(tmp_path):
    for name in ("b.PNG", "a/x.jpg", "a/b/c/y.png", ".h/z.png", "a/._x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    found = list_files(tmp_path, (".png", ".jpg"))
    assert found == ["a/b/c/y.png", "a/x.jpg", "b.PNG"]


@pytest.mark.parametrize(
    ("folder", "received"), [("", "none of them"), ("x", "no such folder")]
)
def test_folder_with_nothing_to_read_is_refused(tmp_path, folder, received):
    with pytest.raises(ValueError, match=f"nothing to read.*: {received}"):
        list_files(tmp_path / folder, (".png",))


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_order_does_not_depend_on_the_threads(monkeypatch, workers):
    monkeypatch.setattr("kd_tf.data.decoding.files._WORKERS", workers)
    problems = []

    def read(name):
        time.sleep(0.002 * (name * 7 % 5))
        if name % 10 == 3:
            raise BadFile("is bad")
        return np.full((name % 3, 1), name), np.full(name % 3, name)

    counts = [name % 3 for name in range(40)]
    chunks = list(read_in_order(range(40), counts, read, problems))
    good = [name for name in range(40) if name % 10 != 3]
    assert problems == [(name, "is bad") for name in (3, 13, 23, 33)]
    starts = np.cumsum([0, *counts])
    for name, (numbers, x, y) in zip(good, chunks, strict=True):
        assert list(numbers) == list(range(starts[name], starts[name + 1]))
        assert set(x[:, 0]) == set(y) == ({name} if name % 3 else set())


def test_reading_ahead_is_bounded(monkeypatch):
    monkeypatch.setattr("kd_tf.data.decoding.files._WORKERS", 3)
    begun, lock = [], threading.Lock()

    def read(name):
        with lock:
            begun.append(name)
        return np.zeros((1, 1)), np.zeros(1)

    chunks = read_in_order(range(1000), [1] * 1000, read, [])
    for taken in range(1, 20):
        next(chunks)
        time.sleep(0.005)  # time enough to run away in
        assert len(begun) <= taken + 2 * 3
    chunks.close()


# Images of a class


@pytest.fixture
def pets(tmp_path):
    """Three cats and five dogs, some nested; example i is full of 10 i."""
    names = [f"cat/{i}.png" for i in "abc"]
    names += [f"more/dog/{i}.png" for i in "abcde"]
    for i, name in enumerate(names):
        save(tmp_path / name, np.full((4 + i, 9 - i, 3), 10 * i))
    return tmp_path


def test_class_is_the_folder(pets):
    source = image_folder_source(pets, image_size=[5, 6])
    found = read(source)
    assert source.class_names == ["cat", "dog"]
    assert source.example.shape == (5, 6, 3)
    assert source.train.count == 8
    for number, (image, label) in found.items():
        assert image.shape == (5, 6, 3)
        assert (image == 10 * number).all()
        assert label == (number >= 3)
    assert source.train.names[3] == "more/dog/a.png"
    assert source.problems == []


def test_class_is_what_the_pattern_finds(pets):
    source = image_folder_source(
        pets, image_size=(2, 2), channels=1, label_pattern=r"([ab])\.png$"
    )
    assert source.class_names == ["a", "b"]
    assert source.example.shape == (2, 2, 1)
    assert [y for _, y in read(source).values()] == [0, 1, 0, 1]
    told = [name for name, what in source.problems if "no class" in what]
    assert told == ["cat/c.png"] + [f"more/dog/{i}.png" for i in "cde"]


def test_file_that_lies_in_no_folder_has_no_class(pets):
    save(pets / "e.png", np.zeros((2, 2)))
    source = image_folder_source(pets, image_size=(2, 2))
    assert source.problems == [
        ("e.png", "lies in no folder that would name its class")
    ]
    assert source.train.count == 8


@pytest.mark.parametrize("pattern", [None, "(dog)", "(dog)?", "dog"])
def test_one_class_is_refused(tmp_path, pattern):
    for name in "ab":
        save(tmp_path / "dog" / f"{name}.png", np.zeros((2, 2)))
    with pytest.raises(ValueError, match="too few classes. Allowed: at least"):
        image_folder_source(tmp_path, image_size=(2, 2), label_pattern=pattern)


def palette_image(indices, colours):
    image = Image.fromarray(np.asarray(indices, "uint8"), "P")
    image.putpalette([value for colour in colours for value in colour])
    return image


def turned(pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter clockwise
    return {"pixels": Image.fromarray(np.uint8(pixels)), "exif": exif}


RED, BLUE = [200, 0, 0], [0, 0, 200]
KINDS = {
    "grey": ({"pixels": [[0, 99]]}, [[[0] * 3, [99] * 3]]),
    "colour": ({"pixels": [[RED, BLUE]]}, [[RED, BLUE]]),
    "see-through": ({"pixels": [[[*RED, 9], [*BLUE, 255]]]}, [[RED, BLUE]]),
    "palette": (
        {"pixels": palette_image([[1, 0]], [RED, BLUE])},
        [[BLUE, RED]],
    ),
    "black and white": (
        {"pixels": Image.fromarray(np.array([[False, True]]))},
        [[[0] * 3, [255] * 3]],
    ),
    "16 bits": (
        {"pixels": Image.fromarray(np.array([[256, 65535]], "uint16"))},
        [[[1] * 3, [255] * 3]],
    ),
    "turned by a note": (
        turned([[10, 20, 30]]),
        [[[i] * 3] for i in (10, 20, 30)],
    ),
}


@pytest.mark.parametrize(("file", "pixels"), KINDS.values(), ids=KINDS)
def test_kinds_of_images(tmp_path, file, pixels):
    path = save(tmp_path / "a.png", **file)
    image = open_image(path, 3)
    np.testing.assert_array_equal(np.asarray(image), pixels)
    assert np.asarray(open_image(path, 1)).shape == image.size[::-1]


@pytest.mark.parametrize("values", [[[-1.0, 0.5]], [[0, 70_000]]])
def test_pixels_of_unknown_range_are_refused(tmp_path, values):
    dtype = "int32" if isinstance(values[0][0], int) else "float32"
    image = Image.fromarray(np.array(values, dtype))
    image.save(tmp_path / "a.tif")
    with pytest.raises(BadFile, match="its white is unknown"):
        open_image(tmp_path / "a.tif", 3)


def break_files(folder):
    """Three files that are no images, in three ways."""
    whole = save(folder / "dog" / "cut.png", noise(40, 40)).read_bytes()
    (folder / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "dog" / "page.png").write_text("<html>404</html>")
    (folder / "cat").mkdir(exist_ok=True)
    (folder / "cat" / "zero.png").touch()


UNREADABLE = [
    ("cat/zero.png", "of no format that Pillow knows"),
    ("dog/cut.png", "truncated"),
    ("dog/page.png", "of no format that Pillow knows"),
]


def write(source, folder, **options):
    folder.mkdir()
    record = write_splits(source, str(folder), CUT, seed=0, **options)
    return record, {name: Split.in_folder(folder, name) for name in SPLITS}


def test_all_unreadable_images_are_told_before_it_stops(pets, tmp_path):
    break_files(pets)
    source = image_folder_source(pets, image_size=(4, 4))
    with pytest.raises(ValueError, match="The data is bad") as caught:
        write(source, tmp_path / "splits")
    told = str(caught.value).split("Received:\n")[1].splitlines()
    assert len(told) == 3
    for line, (name, reason) in zip(told, UNREADABLE, strict=True):
        assert line.startswith(f"  {name}: cannot be read as an image")
        assert reason in line


def test_unreadable_images_are_skipped_and_listed(pets, tmp_path):
    break_files(pets)
    source = image_folder_source(pets, image_size=(4, 4))
    record, splits = write(source, tmp_path / "splits", on_error="skip")
    assert [name for name, _ in record["skipped"]] == [n for n, _ in UNREADABLE]
    assert sum(record["examples"].values()) == 8
    shown = []
    for split in splits.values():
        for image, label in zip(split.examples(), split.targets(), strict=True):
            assert (image == image[0, 0, 0]).all()
            assert label == (image[0, 0, 0] >= 30)
            shown.append(int(image[0, 0, 0]))
    assert sorted(shown) == [10 * i for i in range(8)]


# Images with masks

CLASSES = {"road": "#FF0000", "roof": "#0000ff"}
COLOURS = np.array([[255, 0, 0], [0, 0, 255], [155, 155, 155]], "uint8")


def colours(numbers):
    return COLOURS[numbers]


def indices(numbers):
    return np.asarray(numbers, "uint8")


def palette(numbers):
    # The palette's order is another than that of the classes.
    return palette_image(2 - np.asarray(numbers), COLOURS[::-1].tolist())


MASKS = {
    "colours": (colours, CLASSES, ["#9B9B9B"]),
    "palette": (palette, CLASSES, ["#9B9B9B"]),
    "indices": (indices, {"road": 0, "roof": 1}, [2]),
    "indices in a palette": (
        lambda numbers: palette_image(numbers, COLOURS.tolist()),
        {"road": 0, "roof": 1},
        [2],
    ),
}


@pytest.mark.parametrize(
    ("paint", "classes", "ignored"), MASKS.values(), ids=MASKS
)
def test_kinds_of_masks(tmp_path, paint, classes, ignored):
    numbers = np.array([[0, 1, 2], [1, 1, 0]])
    save(tmp_path / "images/a.jpg", noise(2, 3))
    save(tmp_path / "masks/a.png", paint(numbers))
    source = segmentation_folder_source(
        tmp_path, classes=classes, ignored=ignored, image_size=(2, 3)
    )
    ((_, mask),) = read(source).values()
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 1, IGNORED], [1, 1, 0]]
    assert source.class_names == ["road", "roof"]
    assert source.target.shape == (2, 3)
    is_colour = isinstance(classes["road"], str)
    assert source.palette == ([(255, 0, 0), (0, 0, 255)] if is_colour else None)


def test_tiles_with_a_ragged_edge(tmp_path):
    # 7 high, 11 wide in squares of 3: 2 rows of 3, one row and two columns
    # are left out.
    pixels = noise(7, 11)
    numbers = pixels[..., 0] % 3
    save(tmp_path / "Tile 1/images/a.png", pixels)
    save(tmp_path / "Tile 1/masks/a.png", colours(numbers))
    save(tmp_path / "Tile 2/images/a.png", pixels[:3, :3])
    save(tmp_path / "Tile 2/masks/a.png", colours(numbers[:3, :3]))
    source = segmentation_folder_source(
        tmp_path,
        classes=CLASSES,
        ignored=["#9b9b9b"],
        image_size=(3, 3),
        tile_size=3,
    )
    assert source.train.count == 7
    assert source.train.names == ["Tile 1/images/a.png"] * 6 + [
        "Tile 2/images/a.png"
    ]
    expected = np.where(numbers == 2, IGNORED, numbers)
    for number, (image, mask) in read(source).items():
        top, left = divmod(number % 6, 3)
        here = np.s_[3 * top : 3 * top + 3, 3 * left : 3 * left + 3]
        np.testing.assert_array_equal(image, pixels[here])
        np.testing.assert_array_equal(mask, expected[here])


def test_masks_are_resized_without_mixing_classes(tmp_path):
    numbers = np.zeros((8, 8), int)
    numbers[:, 4:] = 2
    save(tmp_path / "images/a.png", colours(numbers))
    save(tmp_path / "masks/a.png", indices(numbers))
    source = segmentation_folder_source(
        tmp_path,
        classes={"a": 0, "never": 1},
        ignored=[2],
        image_size=(6, 4),
    )
    ((image, mask),) = read(source).values()
    assert image.shape == (6, 4, 3)
    assert mask.tolist() == [[0, 0, IGNORED, IGNORED]] * 6


def test_images_and_masks_side_by_side(tmp_path):
    for name in ("1", "2"):
        save(tmp_path / f"{name}_sat.jpg", noise(2, 2))
        save(
            tmp_path / f"{name}_mask.png", indices([[0, 1], [1, int(name) % 2]])
        )
    source = segmentation_folder_source(
        tmp_path,
        classes={"a": 0, "b": 1},
        image_size=(2, 2),
        images="_sat",
        masks="_mask",
    )
    assert source.train.names == ["1_sat.jpg", "2_sat.jpg"]
    assert [int(mask[1, 1]) for _, mask in read(source).values()] == [1, 0]
    assert source.problems == []


def test_mask_of_an_image_that_is_turned_by_a_note(tmp_path):
    save(tmp_path / "images/a.png", **turned(np.zeros((2, 6))))
    save(tmp_path / "masks/a.png", indices(np.zeros((6, 2))))
    source = segmentation_folder_source(
        tmp_path, classes={"a": 0, "b": 1}, image_size=(2, 2), tile_size=2
    )
    assert source.train.count == len(read(source)) == 3
    assert source.problems == []


def bad_scenes(folder):
    """12 good scenes, and one of every kind that is bad.

    An image is of its mask's colours, so that they tell whether they match.
    """
    rng = np.random.default_rng(0)
    for i in range(12):
        numbers = rng.integers(0, 2, (4, 8))
        save(folder / f"images/{i:02}.png", colours(numbers))
        save(folder / f"masks/{i:02}.png", colours(numbers))
    plain = np.zeros((4, 4), int)
    for name in ("03 cut", "04 size", "05 colour", "06 lone", "07 mask cut"):
        save(folder / f"images/{name}.png", noise(4, 4))
        save(folder / f"masks/{name}.png", colours(plain))
    save(folder / "images/08 small.png", noise(3, 9))
    save(folder / "masks/08 small.png", colours(np.zeros((3, 9), int)))
    for path in ("images/03 cut.png", "masks/07 mask cut.png"):
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes(whole[: len(whole) // 2])
    save(folder / "masks/04 size.png", colours(np.zeros((5, 4), int)))
    strange = colours(plain)
    strange[0, :3] = 1, 2, 3
    strange[1, 1] = 255
    save(folder / "masks/05 colour.png", strange)
    (folder / "masks/06 lone.png").unlink()
    save(folder / "images/00.jpg", noise(4, 8))
    return segmentation_folder_source(
        folder, classes=CLASSES, image_size=(4, 4), tile_size=4
    )


BAD_SCENES = {
    "images/00.png": "is a second image beside images/00.jpg",
    "images/03 cut.png": "cannot be read as an image (image file is trunc",
    "images/04 size.png": "its mask masks/04 size.png has another size: image "
    "(4, 4), mask (4, 5) (width, height)",
    "images/05 colour.png": "its mask masks/05 colour.png has colours not "
    "among the classes: #010203 in 3 pixels, #FFFFFF in 1 pixels",
    "images/06 lone.png": "has no mask",
    "images/07 mask cut.png": "its mask masks/07 mask cut.png cannot be read "
    "as an image (",
    "images/08 small.png": "is smaller than a tile of 4 pixels: 3 high, 9 wide",
}


def test_every_bad_pair_is_told_before_it_stops(tmp_path):
    with pytest.raises(ValueError, match="The data is bad") as caught:
        write(bad_scenes(tmp_path), tmp_path / "splits")
    told = sorted(str(caught.value).split("Received:\n")[1].splitlines())
    assert len(told) == len(BAD_SCENES)
    for line, (name, what) in zip(told, BAD_SCENES.items(), strict=True):
        assert line.startswith(f"  {name}: {what}")


def test_bad_pairs_are_skipped_and_the_others_still_match(tmp_path):
    bad_scenes(tmp_path)
    # It would be taken for the image of a mask that is another's.
    (tmp_path / "images/00.jpg").unlink()
    source = segmentation_folder_source(
        tmp_path, classes=CLASSES, image_size=(4, 4), tile_size=4
    )
    record, splits = write(source, tmp_path / "splits", on_error="skip")
    assert sorted(name for name, _ in record["skipped"]) == list(BAD_SCENES)[1:]
    assert sum(record["examples"].values()) == 12 * 2
    for name, split in splits.items():
        images, masks = split.examples(), split.targets()
        assert len(images) == len(masks) == record["examples"][name]
        np.testing.assert_array_equal(images, COLOURS[masks])
        pixels = np.bincount(masks.reshape(-1), minlength=2).tolist()
        assert record["examples_per_class"][name] == pixels


def test_only_so_many_unknown_colours_are_told(tmp_path):
    save(tmp_path / "images/a.png", noise(4, 4))
    save(tmp_path / "masks/a.png", np.arange(16).reshape(4, 4))
    source = segmentation_folder_source(
        tmp_path, classes={"a": 0, "b": 1}, image_size=(4, 4)
    )
    assert read(source) == {}
    ((_, what),) = source.problems
    assert what.endswith("6 in 1 pixels and 9 more")
    assert "numbers not among the classes: 2 in 1 pixels, 3" in what


def test_tall_masks_are_decoded_to_their_last_row(tmp_path):
    # Strip by strip, and what is strange is counted over all of them.
    numbers = np.random.default_rng(0).integers(0, 2, (600, 3))
    save(tmp_path / "images/a.png", noise(600, 3))
    save(tmp_path / "masks/a.png", indices(numbers))
    source = segmentation_folder_source(
        tmp_path, classes={"a": 0, "b": 1}, image_size=(600, 3)
    )
    ((_, _, masks),) = source.train.chunks()
    np.testing.assert_array_equal(masks[0], numbers)
    numbers[[5, 300, 599], 1] = 7
    save(tmp_path / "masks/a.png", indices(numbers))
    assert not list(source.train.chunks())
    assert source.problems[0][1].endswith("classes: 7 in 3 pixels")


def test_class_only_in_test_is_told(tmp_path):
    for i in range(8):
        numbers = np.full((4, 4), i // 7)
        save(tmp_path / f"images/{i}.png", noise(4, 4, seed=i))
        save(tmp_path / f"masks/{i}.png", indices(numbers))
    source = segmentation_folder_source(
        tmp_path, classes={"a": 0, "b": 1}, image_size=(4, 4)
    )
    folder = tmp_path / "splits"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"'b': in test \(16 there\), nev"):
        write_splits(
            source, str(folder), SplitSettings(test_pattern="7"), seed=0
        )


REFUSED = {
    "two kinds of pixels": ({"a": "#000000", "b": 1}, (), "Received: 1"),
    "none": ({}, (), "have no classes. Allowed: data.classes, {name: pixel"),
    "number too large": ({"a": 0, "b": 256}, (), "Received: 256"),
    "same pixel twice": ({"a": "#ff0000", "b": "red"}, (), "the same pixel"),
    "ignored of another kind": ({"a": 0, "b": 1}, ["#ffffff"], "#ffffff"),
    "class ignored": ({"a": 0, "b": 1}, [1], "both a class and ignored"),
    "no colour": (
        {"a": "#000000", "b": "rot"},
        (),
        "Allowed: '#rrggbb' or a colour's name; .*Received: 'rot'",
    ),
}


@pytest.mark.parametrize(
    ("classes", "ignored", "message"), REFUSED.values(), ids=REFUSED
)
def test_classes_that_cannot_be_are_refused(
    tmp_path, classes, ignored, message
):
    with pytest.raises(ValueError, match=message):
        segmentation_folder_source(
            tmp_path, classes=classes, ignored=ignored, image_size=(4, 4)
        )


def test_folder_without_masks_is_refused(tmp_path):
    save(tmp_path / "images/a.png", noise(2, 2))
    with pytest.raises(ValueError, match="a.png has no mask"):
        segmentation_folder_source(tmp_path, classes=CLASSES, image_size=(2, 2))


def test_classes_shown_are_told_by_their_share(tmp_path):
    # 6 of 16 pixels are roof, 2 ignored, 8 road.
    numbers = np.repeat([1, 2, 0], [6, 2, 8]).reshape(4, 4)
    save(tmp_path / "images/a.png", noise(4, 4))
    save(tmp_path / "masks/a.png", indices(numbers))
    make = functools.partial(
        segmentation_folder_source,
        tmp_path,
        classes={"road": 0, "roof": 1, "sea": 3},
        ignored=[2],
        image_size=(4, 4),
    )
    for share, expected in ((0.3, [1, 1, 0]), (0.4, [1, 0, 0])):
        source = to_multilabel(make(), share)
        ((image, target),) = read(source).values()
        assert target.tolist() == expected
        assert target.shape == source.target.shape
        assert (source.task, image.shape) == ("multilabel", (4, 4, 3))


# The real thing

DUBAI = SHARED_DATA / "dubai_aerial" / "Semantic segmentation dataset"
DUBAI_CLASSES = {
    "building": "#3C1098",
    "land": "#8429F6",
    "road": "#6EC1E4",
    "vegetation": "#FEDD3A",
    "water": "#E2A929",
}


@pytest.fixture(scope="module")
def dubai():
    if not DUBAI.exists():
        pytest.skip("the data is not here")
    return segmentation_folder_source(
        DUBAI,
        classes=DUBAI_CLASSES,
        ignored=["#9B9B9B", "#000000"],
        image_size=(256, 256),
        tile_size=256,
    )


def test_tiles_of_the_real_scenes_are_counted(dubai):
    assert dubai.train.count == 1305
    assert len(set(dubai.train.names)) == 72
    assert dubai.problems == []


def test_real_mask_with_a_palette(dubai, tmp_path):
    name = "Tile 2/{}/image_part_001.{}"
    for kind, ending in (("images", "jpg"), ("masks", "png")):
        path = tmp_path / name.format(kind, ending)
        path.parent.mkdir(parents=True)
        path.symlink_to(DUBAI / name.format(kind, ending))
    with Image.open(path) as mask:
        assert mask.mode == "P"
        shown = np.asarray(mask.convert("RGB"))
    source = segmentation_folder_source(
        tmp_path,
        classes=DUBAI_CLASSES,
        ignored=["#9B9B9B", "#000000"],
        image_size=shown.shape[:2],
    )
    ((_, numbers),) = read(source).values()
    assert set(np.unique(numbers)) <= {0, 1, 2, 3, 4, IGNORED}
    palette = np.array(source.palette, "uint8")
    here = numbers != IGNORED
    np.testing.assert_array_equal(palette[numbers[here]], shown[here])
