import numpy as np

from kd_tf.reporting.confusion import confusion_picture, confusion_table

COUNTS = np.array([[5, 0, 5], [1, 98, 1], [0, 0, 0]])


def test_confusions_are_sorted_and_their_fraction_is_of_the_class():
    assert confusion_table(COUNTS, ["a", "b", "c"]).rows == [
        ("a", "c", "5", "50.0 %"),
        ("b", "a", "1", "1.0 %"),
        ("b", "c", "1", "1.0 %"),
    ]


def test_picture_describes_itself():
    drawn = confusion_picture(COUNTS, ["a", "b", "c"], title="the file")
    # 103 of 110.
    assert drawn.alt == (
        "Confusion matrix of the file: 93.64 % on its diagonal. Most often "
        "confused: a for c, 50.0 %."
    )


def test_nothing_confused_is_an_empty_table():
    assert not confusion_table(np.eye(3, dtype=int), ["a", "b", "c"]).rows
