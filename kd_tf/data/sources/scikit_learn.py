"""The data sets that scikit-learn carries; nothing is downloaded."""

import numpy as np

from kd_tf.data.sources.source import (
    ArraySpec,
    Examples,
    Source,
    as_pixels,
    numbered,
)


def digits_source() -> Source:
    """Reads scikit-learn's 1797 scans of digits, 8x8 pixels, grey 0 to 16.

    Returns:
        `Source` without a test part of its own.

    Reference:
        Alpaydin and Kaynak, 1998, https://doi.org/10.24432/C50P49.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = as_pixels(digits.images[..., np.newaxis], "digits")
    y = digits.target.astype("int64")
    return Source(
        class_names=[str(name) for name in digits.target_names],
        example=ArraySpec(x.shape[1:], "uint8"),
        train=Examples(len(x), lambda: numbered([(x, y)])),
        test=None,
    )


def diabetes_source() -> Source:
    """Reads scikit-learn's study of 442 diabetes patients.

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
