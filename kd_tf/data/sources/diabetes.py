"""scikit-learn's bundled diabetes study: ten measurements, one outcome."""

import numpy as np

from kd_tf.data.sources.source import ArraySpec, Examples, Source, numbered


def diabetes_source():
    """Reads the 442 patients that scikit-learn carries; nothing is downloaded.

    Returns:
        `Source` of a regression without a test part of its own: age, sex,
        body mass index, blood pressure and six blood values against the
        progression of the disease a year later, 25 to 346.

    Reference:
        Efron et al., 2004, https://arxiv.org/abs/math/0406456, section 1.
    """
    from sklearn.datasets import load_diabetes

    study = load_diabetes(scaled=False)
    x = study.data.astype("float32")
    y = study.target.astype("float32")[:, np.newaxis]
    return Source(
        class_names=["progression"],
        example=ArraySpec(x.shape[1:], "float32"),
        target=ArraySpec((1,), "float32"),
        task="regression",
        train=Examples(len(x), lambda: numbered([(x, y)])),
        test=None,
    )
