"""scikit-learn's bundled digits: 1797 scans of 8x8 pixels, grey 0 to 16."""

import numpy as np

from kd_tf.data.sources.source import (
    ArraySpec,
    Examples,
    Source,
    as_pixels,
    numbered,
)


def digits_source():
    """Reads the digits that scikit-learn carries; nothing is downloaded.

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
