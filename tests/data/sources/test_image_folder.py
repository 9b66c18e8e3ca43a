import numpy as np
import pytest

from kd_tf.data.sources.image_folder import image_folder_source
from tests.data.hand_made import listed, noise, read, save, write


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
    examples = read(source.train)
    assert source.class_names == ["cat", "dog"]
    assert source.example.shape == (5, 6, 3)
    assert source.train.count == 8
    for number, (image, label) in examples.items():
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
    assert [y for _, y in read(source.train).values()] == [0, 1, 0, 1]
    without = [name for name, why in source.problems if "no class" in why]
    assert without == ["cat/c.png"] + [f"more/dog/{i}.png" for i in "cde"]


def test_file_that_lies_in_no_folder_has_no_class(pets):
    save(pets / "e.png", np.zeros((2, 2)))
    source = image_folder_source(pets, image_size=(2, 2))
    assert source.problems == [
        ("e.png", "is in no folder that could name its class")
    ]
    assert source.train.count == 8


@pytest.mark.parametrize("pattern", [None, "(dog)", "(dog)?", "dog"])
def test_one_class_is_refused(tmp_path, pattern):
    for name in "ab":
        save(tmp_path / "dog" / f"{name}.png", np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"too few classes. At least 2 are"):
        image_folder_source(tmp_path, image_size=(2, 2), label_pattern=pattern)


def break_files(folder):
    """Three files that are not images, in three ways."""
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


def test_all_unreadable_images_are_listed_before_it_stops(pets, tmp_path):
    break_files(pets)
    source = image_folder_source(pets, image_size=(4, 4))
    message = "Invalid data. Fix or remove these files, or set on_error='skip'"
    with pytest.raises(ValueError, match=message) as caught:
        write(source, tmp_path / "splits")
    lines = listed(caught)
    assert len(lines) == 3
    for line, (name, reason) in zip(lines, UNREADABLE, strict=True):
        assert line.startswith(f"  {name}: cannot be read as an image")
        assert reason in line


def test_unreadable_images_are_skipped_and_listed(pets, tmp_path):
    break_files(pets)
    source = image_folder_source(pets, image_size=(4, 4))
    record, splits = write(source, tmp_path / "splits", on_error="skip")
    assert [name for name, _ in record.skipped] == [n for n, _ in UNREADABLE]
    assert sum(record.examples.values()) == 8
    shown = []
    for split in splits.values():
        for image, label in zip(split.examples(), split.targets(), strict=True):
            assert (image == image[0, 0, 0]).all()
            assert label == (image[0, 0, 0] >= 30)
            shown.append(int(image[0, 0, 0]))
    assert sorted(shown) == [10 * i for i in range(8)]
