import math

import numpy as np

from kd_tf.tasks.agreement import DecisionAgreement


def test_agreement_is_over_all_batches():
    agreement = DecisionAgreement(lambda outputs: outputs > 0)
    agreement.update(np.array([1.0, -1.0, 2.0]), np.array([5.0, -3.0, -1.0]))
    agreement.update(np.array([1.0]), np.array([1.0]))
    assert agreement.result() == 3 / 4


def test_agreement_on_nothing_is_nan():
    assert math.isnan(DecisionAgreement(np.sign).result())
