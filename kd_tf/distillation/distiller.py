"""One step of learning from labels and from a teacher at once.

Shapes: B examples.
"""

import numbers

import keras
import tensorflow as tf
from keras import ops

from kd_tf.distillation.bound_loss import BoundLoss, check_answers_match
from kd_tf.distillation.diagnosis import diagnose
from kd_tf.distillation.loss_term import list_terms
from kd_tf.distillation.taps import Tapped
from kd_tf.distillation.teachers.frozen import FrozenTeacher
from kd_tf.models.graph import answer_key
from kd_tf.models.loading import refuse_probabilities
from kd_tf.schedules import value_at


class Distiller(keras.Model):
    """Trains a student on its labels and on what a teacher knows.

    Compile, fit, evaluate and predict it like any Keras model; what it
    predicts, and what it saves, is the student alone. Its weights are the
    student's and the adapters'. The teacher is neither tracked nor changed.

    The loss minimised is, with w the student's weight,

        w * label loss + (1 - w) * sum of weight * distillation loss
            + regularization

    where sample weights weigh the losses alike, and the student's own
    regularization losses count in full whatever w is. Each loss stands in
    the history under its name, unweighted. With w = 0 data needs no labels,
    and `compile` no loss.

    To change which losses there are, override `compute_losses`; to change
    what is made of them, `combine`. All else follows.

    Args:
        student: `keras.Model` answering logits.
        teacher: `keras.Model` answering logits.
        losses: What to learn from the teacher: a loss by name, a function, a
            `LossTerm`, a `keras.distillation.DistillationLoss`, or a list of
            these. Where models have several answers, a loss concerns each of
            them; a dict {name or index of an answer: loss, list or None}
            tells them apart.
        student_weight: Weight of the label loss, in [0, 1], or a schedule:
            step -> number.
        teacher_input: Function from the student's input to the teacher's,
            such as a resizing; None if they are the same.
        name: Name of the model.

    Raises:
        ValueError: if an argument is out of its range, a layer does not
            exist, or a model whose logits are wanted answers probabilities.

    Example:
        distiller = Distiller(student, teacher, student_weight=0.1)
        distiller.compile(
            "adam",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        distiller.fit(dataset, epochs=10)
        student.save("student.keras")

    Reference:
        Hinton et al., 2015, https://arxiv.org/abs/1503.02531, section 2.
    """

    def __init__(
        self,
        student,
        teacher,
        losses="soft_targets",
        *,
        student_weight=0.1,
        teacher_input=None,
        name="distiller",
    ):
        _check_models(student, teacher)
        # The student's policy decides on loss scaling; it casts for itself.
        super().__init__(name=name, dtype=student.dtype_policy, autocast=False)
        _check_share(student_weight)
        if not (teacher_input is None or callable(teacher_input)):
            raise ValueError(
                "`teacher_input` must be a function of the student's input. "
                f"Received: teacher_input={teacher_input!r}"
            )
        terms = list_terms(losses)
        for term in terms:
            term.output = answer_key(student, term.output)
            check_answers_match(student, teacher, term)
            if term.spec.takes_logits:
                refuse_probabilities(student, "The student", term.output)
                refuse_probabilities(teacher, "The teacher", term.output)
        self.student = student
        self.student_weight = student_weight
        self.bound_losses = [
            BoundLoss(term, student, teacher) for term in terms
        ]
        tapped = [pair for t in self.bound_losses for pair in t.pairs]
        # Plain objects: Keras neither saves nor trains what they hold.
        self.tapped_student = Tapped(student, [s for s, _ in tapped])
        self.frozen_teacher = FrozenTeacher(
            teacher, [t for _, t in tapped], teacher_input
        )
        self._trackers = _Trackers(
            ["student_loss", *(t.name for t in self.bound_losses)]
        )
        self.built = student.built

    @property
    def teacher(self):
        return self.frozen_teacher.model

    @property
    def adapter_parameters(self):
        """Number of parameters trained along and dropped at the end."""
        return sum(
            bound_loss.count_params() for bound_loss in self.bound_losses
        )

    @property
    def pairs(self):
        """{loss: [(student layer, teacher layer)]}, of losses on layers."""
        return {t.name: t.pairs for t in self.bound_losses if t.pairs}

    @property
    def output_names(self):
        """Names by which `compile` tells the losses of several outputs."""
        return self.student.output_names

    @property
    def metrics(self):
        return [*super().metrics, *self._trackers.metrics.values()]

    def call(self, x, training=None):
        return self.student(x, training=training)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self.frozen_teacher(x)
        with tf.GradientTape() as tape:
            student = self.tapped_student(x, training=True)
            losses = self.compute_losses(x, y, student, teacher, sample_weight)
            total = self.combine(losses)
            scaled = self.optimizer.scale_loss(total)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._results(x, y, student, sample_weight, total, losses)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self.frozen_teacher(x)
        student = self.tapped_student(x, training=False)
        losses = self.compute_losses(x, y, student, teacher, sample_weight)
        total = self.combine(losses)
        return self._results(x, y, student, sample_weight, total, losses)

    def compute_losses(self, x, y, student, teacher, sample_weight):
        """The losses of one batch, by name, each a scalar.

        Args:
            x: Inputs, B examples.
            y: Labels, as the compiled loss takes them, or None.
            student: `kd_tf.distillation.taps.Forward` of the student: its `answers`, and
                the `activations` of the layers its losses look at.
            teacher: `Forward` of the teacher.
            sample_weight: Weights, as Keras takes them, or None.

        Returns:
            Dict of float32 scalars: `student_loss` is what Keras would
            minimise without a teacher, labels and regularization, and is
            missing without labels; `regularization_loss` is the share of it
            in `student_loss`, missing where there is none; and each
            distillation loss, a weighted mean over the batch. Names of your
            own are distillation losses of weight 1, beside the others. All
            stand in the history.
        """
        losses = {}
        if y is not None and self._compile_loss is not None:
            losses["student_loss"] = self.compute_loss(
                x, y, student.answers, sample_weight, training=student.training
            )
        if self.losses:
            losses["regularization_loss"] = _sum_of(self.losses)
        for bound_loss in self.bound_losses:
            losses[bound_loss.name] = bound_loss.loss(
                student, teacher, y, sample_weight, self.step
            )
        return losses

    def combine(self, losses):
        """The scalar to minimise, out of what `compute_losses` returned."""
        for name, loss in losses.items():
            if len(loss.shape) > 0:
                raise ValueError(
                    f"Loss '{name}' must be reduced to a scalar, such as by "
                    f"keras.ops.mean. Received: shape {tuple(loss.shape)}"
                )
        if "student_loss" not in losses and self.student_weight != 0:
            raise ValueError(
                "There is no loss on labels. Allowed: data with labels and a "
                "`loss` in compile(), or a constant student_weight=0. "
                f"Received: student_weight={self.student_weight}"
            )
        weights = self.loss_weights(losses)
        return sum(weights[name] * loss for name, loss in losses.items())

    def loss_weights(self, names):
        """What each loss counts for at this step: {name: number}."""
        share = value_at(self.student_weight, self.step)
        given = {t.name: t.term.weight for t in self.bound_losses}
        weights = {
            name: (1 - share) * value_at(given.get(name, 1.0), self.step)
            for name in names
        }
        if "student_loss" in names:
            # It carries the regularization already: with the rest of it,
            # which stands for itself, that counts in full.
            weights["student_loss"] = share
        return weights

    def diagnose(self, data):
        """Measures what may go wrong, before training; changes nothing.

        Args:
            data: `tf.data.Dataset` or other iterable of batches, as `fit`
                takes them; all of it is used.

        Returns:
            `kd_tf.distillation.diagnosis.Diagnosis`: figures, and findings in sentences.
        """
        return diagnose(self, data)

    def save(self, filepath, overwrite=True, zipped=None):
        """Saves the student alone: a plain Keras model, no teacher inside."""
        self.student.save(filepath, overwrite=overwrite, zipped=zipped)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        # Keras leaves out where random generators stand, so that training
        # resumed from a file would draw another dropout.
        for name, state in self._random_states().items():
            store[name] = state.numpy()

    def load_own_variables(self, store):
        names = store.keys()
        stored = {name: store[name] for name in names}
        for name, state in self._random_states().items():
            if name in stored:
                state.assign(stored.pop(name))
        super().load_own_variables(stored)

    def _random_states(self):
        weights = {id(weight) for weight in self.weights}
        states = [v for v in self.variables if id(v) not in weights]
        return {f"random_state_{i}": v for i, v in enumerate(states)}

    def __dir__(self):
        # Keras saves the weights of every model it finds here.
        return [name for name in super().__dir__() if name != "teacher"]

    @property
    def step(self):
        """Number of updates so far, for schedules."""
        optimizer = getattr(self, "optimizer", None)
        return 0 if optimizer is None else optimizer.iterations

    def _results(self, x, y, student, sample_weight, total, losses):
        """Logs of a step: what was computed in it, and nothing else."""
        self._trackers.update(losses, num_examples=_num_examples(x))
        self._loss_tracker.update_state(
            total * _num_replicas(), sample_weight=_num_examples(x)
        )
        if y is None:
            tracked = [self._loss_tracker, *self._trackers.metrics.values()]
            results = {metric.name: metric.result() for metric in tracked}
        else:
            results = self.compute_metrics(x, y, student.answers, sample_weight)
        return {
            name: value
            for name, value in results.items()
            if name in losses or name not in self._trackers.metrics
        }


class _Trackers:
    """Means over an epoch, by name. Not saved with the model."""

    def __init__(self, names):
        self.metrics = {name: keras.metrics.Mean(name=name) for name in names}

    def update(self, losses, num_examples):
        for name, loss in losses.items():
            if name not in self.metrics:
                # A subclass's own loss shows itself while a step is traced.
                with tf.init_scope():
                    self.metrics[name] = keras.metrics.Mean(name=name)
            self.metrics[name].update_state(
                loss * _num_replicas(), sample_weight=num_examples
            )


def _check_models(student, teacher):
    for name, model in {"student": student, "teacher": teacher}.items():
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"`{name}` must be a keras.Model. Received: {model!r}"
            )
    trained = {id(v) for v in student.trainable_variables}
    shared = [v.path for v in teacher.variables if id(v) in trained]
    if shared:
        raise ValueError(
            "The student would train its teacher. Allowed: models that share "
            "no weights but frozen ones; copy the teacher with "
            f"keras.models.clone_model and set_weights. Received: {shared[0]} "
            "in both"
        )


def _check_share(student_weight):
    if callable(student_weight):
        return
    is_number = isinstance(student_weight, numbers.Real)
    if not is_number or not 0 <= student_weight <= 1:
        raise ValueError(
            "`student_weight` must lie in [0, 1], or be a schedule. "
            f"Received: student_weight={student_weight!r}"
        )


def _sum_of(losses):
    # What a layer adds need be no scalar: Keras sums it up.
    total = sum(ops.sum(ops.cast(loss, "float32")) for loss in losses)
    return total / _num_replicas()


def _num_examples(x):
    return ops.shape(tf.nest.flatten(x)[0])[0]


def _num_replicas():
    # Keras divides losses among replicas; metrics want them whole.
    return tf.distribute.get_strategy().num_replicas_in_sync
