import subprocess
import sys

import annotated_types
import keras
import numpy as np
import pytest

from kd_tf import results
from kd_tf.tasks import (
    TASKS,
    TaskSpec,
    get_task,
    label_loss,
    score_metrics,
)
from tests.tasks.cases import CASES, NUM_OUTPUTS, SHAPES, fill_score


def limits(argument):
    """The range of an argument's annotation, as pydantic has it."""
    (field,) = argument.annotation.__metadata__
    return field.metadata


def test_every_task_is_tested():
    assert TASKS.keys() == CASES.keys() == SHAPES.keys()


def test_reading_the_table_and_the_tasks_imports_no_tensorflow():
    code = (
        "import sys; from kd_tf.tasks import TASKS, get_task\n"
        "for name, spec in TASKS.items():\n"
        "    get_task(name), spec.label_arguments\n"
        "sys.exit(bool({'tensorflow', 'keras', 'sklearn'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr[-1000:]


def test_scores_need_no_pydantic():
    # A device that verifies files has NumPy and the runtime alone.
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        "import numpy as np; from kd_tf.tasks import get_task\n"
        "score = get_task('segmentation').new_score(2)\n"
        "score.update(np.eye(2)[[[[0, 1]]]], np.array([[[0, 1]]]))\n"
        "assert score.result().scores['mean_iou'] == 1"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr[-1000:]


def test_a_task_is_made_once():
    assert get_task("segmentation") is get_task("segmentation")


def test_unknown_task_names_the_known_ones():
    with pytest.raises(
        ValueError, match=r"no task 'ranking'\. Allowed: classification, mult"
    ):
        get_task("ranking")


def test_arguments_of_the_label_loss_come_from_its_signature():
    smoothing, dice_weight = TASKS["segmentation"].label_arguments.values()
    assert (smoothing.name, smoothing.default) == ("smoothing", 0.0)
    assert limits(smoothing) == [annotated_types.Ge(0), annotated_types.Lt(1)]
    assert (dice_weight.name, dice_weight.default) == ("dice_weight", 0.0)
    assert limits(dice_weight) == [annotated_types.Ge(0)]
    assert dice_weight.description.startswith("Weight of the Dice loss")
    assert [*TASKS["classification"].label_arguments] == ["smoothing"]
    assert [*TASKS["multilabel"].label_arguments] == ["smoothing"]
    assert TASKS["regression"].label_arguments == {}


def test_label_loss_refuses_arguments_of_another_task():
    assert label_loss("segmentation", dice_weight=0.5).dice_weight == 0.5
    with pytest.raises(TypeError, match="dice_weight"):
        label_loss("classification", dice_weight=0.5)


@pytest.mark.parametrize("name", TASKS)
def test_shapes(name):
    task, (example, target, output) = get_task(name), SHAPES[name]
    assert task.target_shape(example, NUM_OUTPUTS) == target
    assert task.output_shape(example, NUM_OUTPUTS) == output


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("classification", ("soft_targets", 4, "logits", "class", "class")),
        ("multilabel", ("sigmoid_targets", 1, "logits", "class", "flags")),
        ("segmentation", ("soft_targets", 1, "logits", "class, pixels", None)),
        ("regression", ("value_matching", 1, "values", None, "numbers")),
    ],
)
def test_facts(name, facts):
    task = get_task(name)
    assert facts == (
        task.default_loss,
        task.default_temperature,
        task.output_name,
        task.counted,
        task.target_columns,
    )


@pytest.mark.parametrize(
    ("name", "targets", "counts"),
    [
        ("classification", [0, 2, 2], [1, 0, 2]),
        ("segmentation", [[0, 2], [255, 2]], [1, 0, 2]),
        ("segmentation", [[255, 255]], [0, 0, 0]),
        ("multilabel", [[0, 1, 1], [0, 0, 1]], [0, 1, 2]),
        ("regression", [[0.5, 1.0, -2.0]], [1, 1, 1]),
    ],
)
def test_counts_by_hand(name, targets, counts):
    targets = np.array(targets)
    assert get_task(name).count(targets, 3).tolist() == counts


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        ("classification", [0, 3], "from 0 to 2. Received: 0 to 3"),
        ("classification", [-1, 0], "from 0 to 2. Received: -1 to 0"),
        ("segmentation", [[0, 3], [1, 2]], "from 0 to 2. Received: 0 to 3"),
        ("multilabel", [[0, 2, 1]], "0 or 1 .* 3 classes. Received: 0 to 2"),
        ("regression", [[0.0, np.nan, 1.0]], "finite numbers. Received: NaN"),
    ],
)
def test_invalid_targets_are_refused(name, targets, message):
    with pytest.raises(ValueError, match=message):
        get_task(name).count(np.array(targets), 3)


@pytest.mark.parametrize("name", TASKS)
def test_scores_do_not_depend_on_the_batches(name):
    one, many = (
        fill_score(name, NUM_OUTPUTS, *CASES[name], batch_size=size).result()
        for size in (60, 3)
    )
    assert one.scores == pytest.approx(many.scores)
    (title,) = one.per_class
    assert one.per_class[title] == pytest.approx(many.per_class[title])
    assert len(one.per_class[title]) == NUM_OUTPUTS
    assert one.scores[get_task(name).score] is not None


@pytest.mark.parametrize("name", TASKS)
def test_scores_are_a_record_that_json_can_hold(name):
    record = fill_score(name, NUM_OUTPUTS, *CASES[name]).result()
    text = results.to_json(record)
    assert results.from_json(results.ScoreRecord, text) == record


@pytest.mark.parametrize("name", TASKS)
def test_losses_are_one_for_each_example(name):
    outputs, targets = CASES[name]
    losses = get_task(name).new_score(NUM_OUTPUTS).update(outputs, targets)
    assert losses.shape == (len(outputs),)
    assert losses.dtype == float
    assert (losses > 0).all()


@pytest.mark.parametrize(
    "name", ["classification", "segmentation", "regression"]
)
def test_metric_of_an_epoch_is_the_score(name):
    outputs, targets = (array.astype("float32") for array in CASES[name])
    metric = score_metrics(name, NUM_OUTPUTS)[0]
    assert metric.name == get_task(name).score
    for half in (slice(0, 2), slice(2, None)):
        metric.update_state(targets[half], outputs[half])
    record = fill_score(name, NUM_OUTPUTS, outputs, targets).result()
    expected = record.scores[get_task(name).score]
    assert float(metric.result()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_a_model_agrees_with_itself(name):
    outputs, _ = CASES[name]
    agreement = get_task(name).new_agreement()
    for half in (slice(0, 2), slice(2, None)):
        agreement.update(outputs[half], outputs[half])
    assert agreement.result() == 1


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression"])
def test_worst_examples_are_shown_with_their_outputs(name):
    task = get_task(name)
    losses = np.arange(100.0)
    assert task.examples_to_show(losses, 3).tolist() == [99, 98, 97]
    assert task.examples_to_show(losses[:2], 3).tolist() == [1, 0]
    outputs, _ = CASES[name]
    assert task.outputs_to_keep(outputs) is outputs


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("classification", "1.23 points"),
        ("multilabel", "1.23 points"),
        ("segmentation", "1.23 points"),
        ("regression", "0.0123"),
    ],
)
def test_differences_in_words(name, words):
    assert get_task(name).describe_difference(-0.01234) == words


@pytest.fixture
def direction(monkeypatch):
    spec = TaskSpec("tests.tasks.made_up:Direction")
    monkeypatch.setitem(TASKS, "direction", spec)
    return get_task("direction")


def test_a_made_up_task_needs_a_file_and_a_row(direction):
    (delta,) = TASKS["direction"].label_arguments.values()
    assert limits(delta) == [annotated_types.Gt(0)]
    outputs = np.array([[2.0, 0.0], [0.0, 3.0]])
    targets = np.array([[1.0, 0.0], [1.0, 0.0]])
    score = direction.new_score(2)
    assert score.update(outputs, targets).tolist() == [0, 1]
    assert score.result().scores == {"cosine": 0.5}
    assert direction.output_shape((4,), 2) == (2,)
    assert direction.describe_output(outputs[1], ["x", "y"]) == "90 degrees"


def test_a_made_up_task_trains(direction):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile(
        "adam",
        label_loss("direction", delta=0.5),
        metrics=score_metrics("direction", 2),
    )
    x = np.random.default_rng(0).normal(size=(8, 4))
    history = model.fit(x, x[:, :2], verbose=0).history
    assert -1 <= history[direction.score][0] <= 1


def test_another_task_under_the_same_name_is_not_the_first(monkeypatch):
    first = get_task("regression")
    spec = TaskSpec("tests.tasks.made_up:Direction")
    monkeypatch.setitem(TASKS, "regression", spec)
    assert get_task("regression").score == "cosine"
    assert first.score == "r2"
