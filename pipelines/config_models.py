"""What a config may say of a model, name by name."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.config_losses import Section

Count = Annotated[int, Field(ge=1)]


class CnnArguments(Section):
    filters: list[Count] = Field(default=[32, 64], min_length=1)
    hidden: int = Field(default=0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class MlpArguments(Section):
    hidden: list[Count] = [128]
    dropout: float = Field(default=0.0, ge=0, lt=1)


class UnetArguments(Section):
    width: Count = 16
    depth: int = Field(default=4, ge=0)
    upsampling: Literal["transposed", "nearest", "bilinear"] = "bilinear"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    separable: bool = False


MODEL_ARGUMENTS = {
    "cnn": CnnArguments,
    "mlp": MlpArguments,
    "unet": UnetArguments,
}
