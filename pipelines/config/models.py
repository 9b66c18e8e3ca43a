"""What a config may say of a model, name by name."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.config.losses import Section

Count = Annotated[int, Field(ge=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class LogMel(Section):
    """The front end of models of sound; see kd_tf.models.log_mel."""

    sample_rate: Count = 16000
    frame_ms: Positive = 30.0
    hop_ms: Positive = 20.0
    num_mels: Count = 40
    low_hz: float = Field(default=20.0, ge=0)
    high_hz: Positive = 7600.0


class CnnArguments(Section):
    filters: list[Count] = Field(default=[32, 64], min_length=1)
    hidden: int = Field(default=0, ge=0)
    dropout: Dropout = 0.0


class DsCnnArguments(Section):
    filters: Count = 64
    blocks: int = Field(default=4, ge=0)
    dropout: Dropout = 0.0
    log_mel: LogMel = LogMel()


class GruArguments(Section):
    units: Count = 64
    stride: Count = 4
    dropout: Dropout = 0.0
    log_mel: LogMel = LogMel()


class KerasApplicationArguments(Section):
    backbone: str = "MobileNetV2"  # any of keras.applications
    weights: str | None = "imagenet"  # or the path of a file
    dropout: Dropout = 0.2


class MlpArguments(Section):
    hidden: list[Count] = [128]
    dropout: Dropout = 0.0


class MobilenetArguments(Section):
    filters: list[Count] = Field(
        default=[16, 32, 64, 64, 128, 128], min_length=2
    )
    stem_stride: Literal[1, 2] = 1
    dropout: Dropout = 0.0


class ResnetArguments(Section):
    depth: int = Field(default=20, ge=8)  # 6n + 2
    width: Count = 16


class TransformerArguments(Section):
    width: Count = 64
    depth: int = Field(default=2, ge=0)
    heads: Count = 4
    dropout: Dropout = 0.0
    patch: Count = 4
    log_mel: LogMel = LogMel()


class UnetArguments(Section):
    width: Count = 16
    depth: int = Field(default=4, ge=0)
    upsampling: Literal["transposed", "nearest", "bilinear"] = "bilinear"
    dropout: Dropout = 0.0
    separable: bool = False


class VggArguments(Section):
    filters: list[Count] = Field(default=[32, 64, 128], min_length=1)
    repeats: Count = 2
    dropout: Dropout = 0.0


MODEL_ARGUMENTS = {
    "cnn": CnnArguments,
    "ds_cnn": DsCnnArguments,
    "gru": GruArguments,
    "keras_application": KerasApplicationArguments,
    "mlp": MlpArguments,
    "mobilenet": MobilenetArguments,
    "resnet": ResnetArguments,
    "transformer": TransformerArguments,
    "unet": UnetArguments,
    "vgg": VggArguments,
}
