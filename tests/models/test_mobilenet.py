from tests.models.cases import build


def test_blocks_halve_the_resolution_where_channels_grow():
    model = build("mobilenet", (32, 32, 3), filters=[2, 4, 4, 8, 8, 9])
    sides = [
        model.get_layer(f"block_{i}_relu").output.shape[1] for i in range(1, 6)
    ]
    assert sides == [32, 32, 16, 16, 8]


def test_a_stem_of_stride_two_halves_the_resolution_first():
    model = build("mobilenet", stem_stride=2)
    assert model.get_layer("stem_relu").output.shape[1:3] == (4, 4)
