"""The section `data` of a config -> a source of examples."""

import kd_tf
from pipelines.config.data import SOURCES


def open_source(config):
    """The `Source` that a config names."""
    data, task = config.data, config.task
    given = {key: getattr(data, key) for key in data.given}
    if data.source == "csv":
        return kd_tf.csv_source(task=task, **given)
    if data.source == "segmentation_folder":
        from kd_tf.data.sources.segmentation_folder import to_multilabel

        share = given.pop("present_fraction", None)
        source = kd_tf.segmentation_folder_source(**given)
        return to_multilabel(source, share) if share else source
    if data.source not in SOURCES:
        return kd_tf.custom_source(data.source, **given.get("args", {}))
    return getattr(kd_tf, f"{data.source}_source")(**given)
