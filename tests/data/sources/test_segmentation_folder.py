import functools

import numpy as np
import pytest
from PIL import Image

from kd_tf.data.sources.segmentation_folder import segmentation_folder_source
from kd_tf.data.splitting.assignment import SplitSettings
from kd_tf.tasks import IGNORED
from tests.conftest import SHARED_DATA
from tests.data.hand_made import (
    COLOURS,
    colours,
    indices,
    listed,
    noise,
    palette_image,
    read,
    save,
    turned,
    write,
)

CLASSES = {"road": "#FF0000", "roof": "#0000ff"}


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
    ((_, mask),) = read(source.train).values()
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
    for number, (image, mask) in read(source.train).items():
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
    ((image, mask),) = read(source.train).values()
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
    assert [int(mask[1, 1]) for _, mask in read(source.train).values()] == [
        1,
        0,
    ]
    assert source.problems == []


def test_mask_of_an_image_that_is_turned_by_a_note(tmp_path):
    save(tmp_path / "images/a.png", **turned(np.zeros((2, 6))))
    save(tmp_path / "masks/a.png", indices(np.zeros((6, 2))))
    source = segmentation_folder_source(
        tmp_path, classes={"a": 0, "b": 1}, image_size=(2, 2), tile_size=2
    )
    assert source.train.count == len(read(source.train)) == 3
    assert source.problems == []


def invalid_scenes(folder):
    """12 valid scenes, and one of every kind that is not.

    An image is of its mask's colours, so that pairs can be checked.
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


INVALID_SCENES = {
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


def test_every_invalid_pair_is_listed_before_it_stops(tmp_path):
    with pytest.raises(ValueError, match=r"Invalid data. Fix") as caught:
        write(invalid_scenes(tmp_path), tmp_path / "splits")
    lines = sorted(listed(caught))
    assert len(lines) == len(INVALID_SCENES)
    for line, (name, why) in zip(lines, INVALID_SCENES.items(), strict=True):
        assert line.startswith(f"  {name}: {why}")


def test_invalid_pairs_are_skipped_and_the_others_still_match(tmp_path):
    invalid_scenes(tmp_path)
    # It would be taken for the image of a mask that is another's.
    (tmp_path / "images/00.jpg").unlink()
    source = segmentation_folder_source(
        tmp_path, classes=CLASSES, image_size=(4, 4), tile_size=4
    )
    record, splits = write(source, tmp_path / "splits", on_error="skip")
    assert (
        sorted(name for name, _ in record.skipped) == list(INVALID_SCENES)[1:]
    )
    assert sum(record.examples.values()) == 12 * 2
    for name, split in splits.items():
        images, masks = split.examples(), split.targets()
        assert len(images) == len(masks) == record.examples[name]
        np.testing.assert_array_equal(images, COLOURS[masks])
        pixels = np.bincount(masks.reshape(-1), minlength=2).tolist()
        assert record.examples_per_class[name] == pixels


def test_mask_with_unknown_pixels_is_left_out(tmp_path):
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


def test_class_only_in_test_is_listed(tmp_path):
    for i in range(8):
        numbers = np.full((4, 4), i // 7)
        save(tmp_path / f"images/{i}.png", noise(4, 4, seed=i))
        save(tmp_path / f"masks/{i}.png", indices(numbers))
    source = segmentation_folder_source(
        tmp_path, classes={"a": 0, "b": 1}, image_size=(4, 4)
    )
    settings = SplitSettings(test_pattern="7")
    with pytest.raises(ValueError, match="'b': is 16 times in test, never in"):
        write(source, tmp_path / "splits", settings)


def test_classes_that_cannot_be_are_refused(tmp_path):
    make = functools.partial(
        segmentation_folder_source, tmp_path, image_size=(4, 4)
    )
    with pytest.raises(ValueError, match="both a class and ignored"):
        make(classes={"a": 0, "b": 1}, ignored=[1])
    with pytest.raises(ValueError, match="Received: 256"):
        make(classes={"a": 0, "b": 256})


def test_folder_without_masks_is_refused(tmp_path):
    save(tmp_path / "images/a.png", noise(2, 2))
    with pytest.raises(ValueError, match=r"a.png has no mask"):
        segmentation_folder_source(tmp_path, classes=CLASSES, image_size=(2, 2))


def test_classes_are_present_from_a_fraction_of_the_pixels_on(tmp_path):
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
    for fraction, expected in ((0.3, [1, 1, 0]), (0.4, [1, 0, 0])):
        source = make(present_fraction=fraction)
        ((image, target),) = read(source.train).values()
        assert target.tolist() == expected
        assert target.shape == source.target.shape
        assert (source.task, image.shape) == ("multilabel", (4, 4, 3))
        assert source.palette is None


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
    ((_, numbers),) = read(source.train).values()
    assert set(np.unique(numbers)) <= {0, 1, 2, 3, 4, IGNORED}
    palette = np.array(source.palette, "uint8")
    here = numbers != IGNORED
    np.testing.assert_array_equal(palette[numbers[here]], shown[here])
