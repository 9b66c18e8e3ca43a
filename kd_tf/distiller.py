"""One step of learning from labels and from a teacher at once.

Shapes: B examples, C classes.
"""

import keras
import tensorflow as tf
from keras import ops

from kd_tf.losses.response import soft_target_loss
from kd_tf.teachers import FrozenTeacher


class Distiller(keras.Model):
    """Trains a student on its labels and on a teacher's soft targets.

    Compile, fit, evaluate and predict it like any Keras model; what it
    predicts, and what it saves, is the student alone. The teacher is neither
    tracked nor changed.

    The loss minimised is, with w the student's weight,

        w * label loss + (1 - w) * soft target loss + regularization

    where sample weights weigh the first two alike, and the student's own
    regularization losses count in full whatever w is.

    To combine losses in another way, override `compute_losses` (which losses
    there are) or `combine` (what is made of them).

    Args:
        student: `keras.Model` answering logits (B, C).
        teacher: `keras.Model` answering logits (B, C).
        temperature: Positive float, softens both answers. Hinton et al. find
            2.5 to 4 best for narrow students, anything over 8 for wide ones.
        student_weight: Weight of the label loss, in [0, 1].
        name: Name of the model.

    Example:
        distiller = Distiller(student, teacher, temperature=4,
                              student_weight=0.1)
        distiller.compile(
            "adam",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        distiller.fit(x, y, epochs=10)
        student.save("student.keras")

    Reference:
        Hinton et al., 2015, https://arxiv.org/abs/1503.02531, section 2.
    """

    def __init__(
        self, student, teacher, *, temperature, student_weight, name="distiller"
    ):
        super().__init__(name=name)
        if not temperature > 0:
            raise ValueError(
                "`temperature` must be greater than 0. "
                f"Received: temperature={temperature}"
            )
        if not 0 <= student_weight <= 1:
            raise ValueError(
                "`student_weight` must lie in [0, 1]. "
                f"Received: student_weight={student_weight}"
            )
        self.student = student
        self.temperature = temperature
        self.student_weight = student_weight
        # A plain object: Keras neither saves nor trains what it holds.
        self._frozen_teacher = FrozenTeacher(teacher)
        self._soft_targets = _PerExampleLoss(self.distillation_loss)
        self._trackers = [
            keras.metrics.Mean(name="student_loss"),
            keras.metrics.Mean(name="distillation_loss"),
        ]

    @property
    def teacher(self):
        return self._frozen_teacher.model

    def call(self, x, training=None):
        return self.student(x, training=training)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self._frozen_teacher(x)
        with tf.GradientTape() as tape:
            student = self.student(x, training=True)
            losses = self.compute_losses(x, y, student, teacher, sample_weight)
            total = self.combine(losses)
            scaled = self.optimizer.scale_loss(total)
        variables = self.student.trainable_variables
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._track(total, losses, student)
        return self.compute_metrics(x, y, student, sample_weight)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self._frozen_teacher(x)
        student = self.student(x, training=False)
        losses = self.compute_losses(x, y, student, teacher, sample_weight)
        self._track(self.combine(losses), losses, student)
        return self.compute_metrics(x, y, student, sample_weight)

    def compute_losses(self, x, y, student, teacher, sample_weight):
        """The losses of one batch, by name, each a scalar.

        Args:
            x: Inputs, B examples.
            y: Labels, as the compiled loss takes them.
            student: Logits (B, C) of the student.
            teacher: Logits (B, C) of the teacher.
            sample_weight: Tensor (B,) or None.

        Returns:
            Dict of float32 scalars: `student_loss` is what Keras would
            minimise without a teacher (labels and regularization),
            `distillation_loss` the weighted mean over the batch,
            `regularization_loss` the share of it in `student_loss`.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return {
            "student_loss": self.compute_loss(
                x, y, student, sample_weight, training=True
            ),
            "distillation_loss": self._soft_targets(
                teacher, student, sample_weight
            ),
            "regularization_loss": sum(
                (ops.cast(loss, "float32") for loss in self.losses),
                start=ops.zeros(()),
            )
            / replicas,
        }

    def combine(self, losses):
        """The scalar to minimise, out of what `compute_losses` returned."""
        # The student's loss carries the regularization already, so the other
        # side must carry it too for it to count in full.
        return self.student_weight * losses["student_loss"] + (
            1 - self.student_weight
        ) * (losses["distillation_loss"] + losses["regularization_loss"])

    def distillation_loss(self, student_logits, teacher_logits):
        """One value an example, (B,), for the student to make small."""
        return soft_target_loss(
            student_logits, teacher_logits, self.temperature
        )

    def save(self, filepath, overwrite=True, zipped=None):
        """Saves the student alone: a plain Keras model, no teacher inside."""
        self.student.save(filepath, overwrite=overwrite, zipped=zipped)

    def _track(self, total, losses, student):
        # Keras divides losses among replicas; metrics want them whole.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        num_examples = ops.shape(student)[0]
        values = {"loss": total, **losses}
        for metric in self.metrics:
            if metric.name in values:
                metric.update_state(
                    values[metric.name] * replicas, sample_weight=num_examples
                )


class _PerExampleLoss(keras.losses.Loss):
    """Reduces a loss as Keras reduces its own, sample weights included."""

    def __init__(self, function):
        super().__init__(name="per_example")
        self._function = function

    def call(self, teacher_logits, student_logits):
        return self._function(student_logits, teacher_logits)
