from tests.models.cases import build


def test_hidden_units_replace_the_average():
    model = build("cnn", filters=[3], hidden=5)
    assert model.get_layer("hidden").kernel.shape == (8 * 8 * 3, 5)
    assert "average" not in [layer.name for layer in model.layers]
