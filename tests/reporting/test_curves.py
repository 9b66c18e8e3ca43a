import numpy as np

from kd_tf.reporting.curves import all_have, curve_pictures
from kd_tf.reporting.looks import look
from kd_tf.reporting.series import Series
from kd_tf.tasks.curves import Curves


def series_of(num_classes, num_examples=1500):
    """A model that is worse at a class the higher its number."""
    rng = np.random.default_rng(0)
    labels = np.arange(num_examples) % num_classes
    is_positive = labels[:, None] == np.arange(num_classes)
    noise = rng.random(is_positive.shape) * np.linspace(0.6, 1, num_classes)
    curves = Curves(num_classes)
    curves.update(np.where(is_positive, 1 - noise, noise), is_positive)
    return Series("a model", look(0), curves.arrays())


def test_of_many_classes_those_the_file_is_worst_at_are_drawn():
    names = [f"class {number}" for number in range(15)]
    pictures = curve_pictures([series_of(15)], names)
    drawn = [one.name for one in pictures]
    classes = [f"precision_recall_class_{number}" for number in range(3, 15)]
    assert drawn == ["precision_recall_micro", *classes]


def test_models_without_curves_have_no_pictures():
    nothing = Series("a file", look(1), {})
    assert curve_pictures([nothing], ["a"]) == []
    assert curve_pictures([], ["a"]) == []
    assert not all_have([series_of(3), nothing], "precision")


def test_areas_are_written_in_words():
    certain = Curves(1)
    certain.update(np.array([[0.9], [0.1]]), np.array([[True], [False]]))
    one = Series("a model", look(0), certain.arrays())
    micro, of_class = curve_pictures([one], ["cat"])
    assert of_class.alt == (
        "Precision against recall, cat; area under it: a model 1.0000."
    )
    assert micro.width > of_class.width
