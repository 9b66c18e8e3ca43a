import itertools

from kd_tf.reporting.looks import look


def test_twenty_models_are_told_apart_by_lines_and_by_markers():
    looks = [look(position) for position in range(20)]
    assert len({(one.color, one.linestyle) for one in looks}) == 20
    assert len({(one.color, one.marker) for one in looks}) == 20


def test_neighbors_differ_without_colors():
    looks = [look(position) for position in range(20)]
    for one, other in itertools.pairwise(looks):
        assert one.color != other.color
        assert one.linestyle != other.linestyle
        assert one.marker != other.marker


def test_palette_never_ends():
    assert look(336) == look(0)
