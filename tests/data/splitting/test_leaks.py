import numpy as np
import pytest

from kd_tf.data.sources.source import Examples
from kd_tf.data.splitting.leaks import check_apart, find_leaks


def test_groups_of_the_sources_own_test_part_are_kept_apart():
    train = Examples(2, None, ["a_1", "b_1"])
    check_apart(train, Examples(1, None, ["c_1"]), group="^(.)_")
    with pytest.raises(ValueError, match=r"shares groups .*Received: b"):
        check_apart(train, Examples(1, None, ["b_2"]), group="^(.)_")


def leaks(folder, contents, split_of, kept=None):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    examples = Examples(len(contents), None, list(contents), str(folder))
    if kept is None:
        kept = [True] * len(contents)
    find_leaks(examples, np.array(split_of), kept=np.array(kept))


COPIES = {"a.png": b"one", "b.png": b"two", "copy of a.png": b"one"}


def test_copy_under_another_name_in_another_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="same file is in two") as caught:
        leaks(tmp_path, COPIES, [0, 0, 2])
    assert str(caught.value).endswith(
        "Received: a.png (train) = copy of a.png (test)"
    )


@pytest.mark.parametrize("split_of", [[0, 2, 0], [1, 0, 1]])
def test_copy_in_the_same_split_is_no_leak(tmp_path, split_of):
    leaks(tmp_path, COPIES, split_of)


def test_files_that_were_left_out_do_not_leak(tmp_path):
    leaks(tmp_path, COPIES, [0, 0, 2], kept=[True, True, False])


def test_of_many_leaks_the_first_are_listed(tmp_path):
    names = [f"{i:02}" for i in range(13)]
    with pytest.raises(ValueError, match="and 2 more") as caught:
        leaks(tmp_path, dict.fromkeys(names, b"x"), [0] + [2] * 12)
    assert str(caught.value).count(" = ") == 10


def test_examples_without_files_have_no_leaks():
    # It raises if there is one.
    find_leaks(Examples(2, None), np.array([0, 2]), kept=np.ones(2, bool))
