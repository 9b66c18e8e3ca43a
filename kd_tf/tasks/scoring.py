"""How good answers are, counted while they stream by; no TensorFlow.

Shapes: N examples, P answers (examples, or all their pixels), C classes or
values. Nothing here grows with N but the few numbers a multilabel example or
a regression has.
"""

import numpy as np

from kd_tf.tasks import IGNORED, TASKS, softmax

_BINS = 15  # of calibration, as in Guo et al.
_THRESHOLDS = 1000  # of the precision-recall curves
_TOP = 5


def new_score(task, num_classes):
    """An empty count for a task.

    Args:
        task: Name of `kd_tf.tasks.TASKS`.
        num_classes: C.

    Returns:
        Object with `update(answers, targets)`, which takes float32
        (n, ..., C) and targets (n, ...) and returns each example's own loss,
        float (n,); `result()`, a dict of numbers, the task's score among
        them; and `arrays()`, a dict of arrays to draw from.
    """
    if task == "regression":
        return ValueScore()
    if task == "multilabel":
        return LabelScore(num_classes)
    return ClassScore(num_classes, per_pixel=TASKS[task].per_pixel)


class ClassScore:
    """One class an answer: accuracy, or overlap where answers are pixels."""

    def __init__(self, num_classes, *, per_pixel):
        self._per_pixel = per_pixel
        self._num_classes = num_classes
        self._confusion = np.zeros((num_classes, num_classes), int)
        self._calibration = Calibration()
        self._curves = Curves(num_classes)
        self._in_top = 0

    def update(self, answers, targets):
        count = len(answers)
        logits = answers.reshape(-1, self._num_classes)
        labels = np.asarray(targets).reshape(-1).astype("int64")
        asked = labels != IGNORED if self._per_pixel else labels >= 0
        probabilities = softmax(logits)
        loss = np.zeros(len(labels))
        right = probabilities[asked, labels[asked]]
        loss[asked] = -np.log(np.maximum(right, 1e-12))
        self._count(probabilities[asked], labels[asked])
        weights = np.maximum(asked.reshape(count, -1).sum(axis=1), 1)
        return loss.reshape(count, -1).sum(axis=1) / weights

    def _count(self, probabilities, labels):
        decided = probabilities.argmax(axis=-1)
        pairs = labels * self._num_classes + decided
        self._confusion += np.bincount(
            pairs, minlength=self._num_classes**2
        ).reshape(self._confusion.shape)
        self._calibration.update(probabilities.max(axis=-1), decided == labels)
        self._curves.update(
            probabilities, labels[:, np.newaxis] == range(self._num_classes)
        )
        if self._num_classes > _TOP:
            own = np.take_along_axis(probabilities, labels[:, None], axis=1)
            self._in_top += int(((probabilities > own).sum(1) < _TOP).sum())

    def result(self):
        confusion, right = self._confusion, np.diag(self._confusion)
        asked, decided = confusion.sum(axis=1), confusion.sum(axis=0)
        accuracy = _ratio(right.sum(), confusion.sum())
        result = {
            "pixel_accuracy" if self._per_pixel else "accuracy": accuracy,
            "balanced_accuracy": _mean(_ratios(right, asked)),
            "ece": self._calibration.error(),
        }
        if self._per_pixel:
            iou = _ratios(right, asked + decided - right)
            result["mean_iou"] = _mean(iou)
            result["iou_per_class"] = _listed(iou)
            dice = _ratios(2 * right, asked + decided)
            result["mean_dice"] = _mean(dice)
        elif self._num_classes > _TOP:
            result["top_5_accuracy"] = _ratio(self._in_top, confusion.sum())
        return result

    def arrays(self):
        return {
            "confusion": self._confusion,
            **self._calibration.arrays(),
            **self._curves.arrays(),
        }


class LabelScore:
    """Any number of classes an answer: mean average precision.

    Average precision is the sum of precision over the steps of recall,
    without interpolation; classes that never occur are left out.
    """

    def __init__(self, num_classes):
        self._answers, self._targets = [], []
        self._num_classes = num_classes
        self._curves = Curves(num_classes)

    def update(self, answers, targets):
        yes = np.asarray(targets).astype(bool)
        probabilities = TASKS["multilabel"].probabilities(answers)
        self._answers.append(np.asarray(answers, "float32"))
        self._targets.append(yes)
        self._curves.update(probabilities, yes)
        loss = np.logaddexp(0, np.where(yes, -answers, answers))
        return loss.mean(axis=-1)

    def result(self):
        from sklearn.metrics import average_precision_score, f1_score

        answers, yes = map(np.concatenate, (self._answers, self._targets))
        precision = [
            average_precision_score(yes[:, c], answers[:, c])
            if yes[:, c].any()
            else np.nan
            for c in range(self._num_classes)
        ]
        return {
            "mean_average_precision": _mean(precision),
            "average_precision_per_class": _listed(precision),
            "accuracy": float(np.mean((answers > 0) == yes)),
            "micro_f1": float(
                f1_score(yes, answers > 0, average="micro", zero_division=0)
            ),
        }

    def arrays(self):
        return self._curves.arrays()


class ValueScore:
    """Quantities: mean absolute error and R²."""

    def __init__(self):
        self._answers, self._targets = [], []

    def update(self, answers, targets):
        self._answers.append(np.asarray(answers, float))
        self._targets.append(np.asarray(targets, float))
        difference = self._answers[-1] - self._targets[-1]
        return np.square(difference).mean(axis=-1)

    def result(self):
        answers, targets = map(np.concatenate, (self._answers, self._targets))
        return {
            "r2": _r2(answers, targets),
            "mae": float(np.abs(answers - targets).mean()),
            "mae_per_value": np.abs(answers - targets).mean(axis=0).tolist(),
        }

    def arrays(self):
        return {
            "answers": np.concatenate(self._answers),
            "targets": np.concatenate(self._targets),
        }


class Agreement:
    """How alike two models answer: share of the same decisions, or R²."""

    def __init__(self, task):
        self._task = TASKS[task]
        self._values = ValueScore()
        self._same = self._all = 0

    def update(self, answers, others):
        if self._task.has_values:
            self._values.update(answers, others)
            return
        same = self._task.decide(answers) == self._task.decide(others)
        self._same += int(same.sum())
        self._all += same.size

    def result(self):
        if self._task.has_values:
            return self._values.result()["r2"]
        return _ratio(self._same, self._all)


class Calibration:
    """Do answers given with a probability of 0.8 hold eight times in ten?

    Reference:
        Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 2.
    """

    def __init__(self):
        self._count = np.zeros(_BINS, int)
        self._sure = np.zeros(_BINS)
        self._right = np.zeros(_BINS)

    def update(self, confidence, is_right):
        bins = np.clip((confidence * _BINS).astype(int), 0, _BINS - 1)
        self._count += np.bincount(bins, minlength=_BINS)
        self._sure += np.bincount(bins, confidence, _BINS)
        self._right += np.bincount(bins, is_right, _BINS)

    def error(self):
        """Expected calibration error, in [0, 1]."""
        gap = np.abs(self._sure - self._right).sum()
        return _ratio(gap, self._count.sum())

    def arrays(self):
        return {
            "calibration_count": self._count,
            "calibration_confidence": self._sure / np.maximum(self._count, 1),
            "calibration_accuracy": self._right / np.maximum(self._count, 1),
        }


class Curves:
    """Precision and recall of every class at evenly spaced thresholds."""

    def __init__(self, num_classes):
        # (yes or no, class, bin of the probability)
        self._counts = np.zeros((2, num_classes, _THRESHOLDS + 1), int)

    def update(self, probabilities, yes):
        bins = (probabilities * _THRESHOLDS).astype(int)
        bins = np.clip(bins, 0, _THRESHOLDS)
        for c in range(bins.shape[-1]):
            for is_yes in (False, True):
                found = bins[yes[:, c] == is_yes, c]
                self._counts[int(is_yes), c] += np.bincount(
                    found, minlength=_THRESHOLDS + 1
                )

    def arrays(self):
        """`precision` and `recall`, (C + 1, thresholds), from high to low;
        the last row is the micro-average."""
        counts = np.concatenate(
            [self._counts, self._counts.sum(axis=1, keepdims=True)], axis=1
        )
        negatives, positives = np.cumsum(counts[..., ::-1], axis=-1)
        return {
            "precision": _ratios(positives, positives + negatives),
            "recall": _ratios(positives, positives[..., -1:]),
        }


def _r2(answers, targets):
    """Averaged over the values, as Keras and scikit-learn do."""
    error = np.square(answers - targets).sum(axis=0)
    spread = np.square(targets - targets.mean(axis=0)).sum(axis=0)
    return _mean(1 - _ratios(error, spread))


def _ratio(part, whole):
    return float(part / whole) if whole else float("nan")


def _ratios(parts, wholes):
    """NaN where there is no whole."""
    wholes = np.where(np.asarray(wholes) == 0, np.nan, wholes)
    return parts / wholes


def _mean(values):
    found = np.asarray(values, float)
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else float("nan")


def _listed(values):
    """For JSON, which has no NaN: None where nothing was there to measure."""
    return [None if np.isnan(v) else float(v) for v in values]


def save_arrays(path, arrays):
    """Writes {row: {name: array}} to one `.npz`."""
    np.savez(
        path,
        **{
            f"{row}/{name}": array
            for row, found in arrays.items()
            for name, array in found.items()
        },
    )


def load_arrays(path):
    """Reads what `save_arrays` wrote."""
    arrays = {}
    with np.load(path, allow_pickle=False) as found:
        for key in found.files:
            row, _, name = key.partition("/")
            arrays.setdefault(row, {})[name] = found[key]
    return arrays
