"""What distillation was worth: the same model with and without it."""

import dataclasses

from kd_tf.reporting.rows import measured_scores
from kd_tf.results import Results, Variant
from kd_tf.tasks import get_task


@dataclasses.dataclass(frozen=True)
class Gain:
    """Two scores on the test split whose difference is due to distillation.

    Attributes:
        variant: The distilled model.
        score: Its score.
        baseline: Score of the same model trained on labels alone.
        taught_by_score: Score of its teacher; None if not measured.
    """

    variant: Variant
    score: float
    baseline: float
    taught_by_score: float | None

    @property
    def amount(self) -> float:
        """How much better the distilled model is."""
        return self.score - self.baseline


def distillation_gains(results: Results) -> list[Gain]:
    """Compares every distilled variant with the one trained without.

    Args:
        results: A finished run.

    Returns:
        One `Gain` for each pair of which both were scored.
    """
    gains = (_gain(results, variant) for variant in results.variants)
    return [gain for gain in gains if gain is not None]


def _gain(results: Results, variant: Variant) -> Gain | None:
    if variant.taught_by is None or variant.compared_with is None:
        return None
    other = results.variant(variant.compared_with)
    # Two distilled models differ in something else, and a model that went on
    # from another's weights, as after compression, in more than its teacher.
    if other.taught_by is not None or other.made_from != variant.made_from:
        return None
    score, baseline, taught_by_score = (
        _score(results, name)
        for name in (variant.name, variant.compared_with, variant.taught_by)
    )
    if score is None or baseline is None:
        return None
    return Gain(variant, score, baseline, taught_by_score)


def _score(results: Results, name: str) -> float | None:
    key = get_task(results.data.task).score
    return measured_scores(results, name).get(key)
