"""Distils a U-Net of 1.8 M parameters into 45 kB or less, on Dubai scenes.

Runs configs/dubai_unet.yaml once for each seed and collects the mean IoU of
every model and file.

    python -m benchmarks.dubai --workdir DIR --set data.path=FOLDER

writes dubai.json; about half an hour a seed on two cores.
"""

import pathlib

from benchmarks.over_seeds import over_seeds

if __name__ == "__main__":
    over_seeds("dubai_unet", pathlib.Path(__file__).with_suffix(".json"))
