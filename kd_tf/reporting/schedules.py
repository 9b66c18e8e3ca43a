"""Pictures of the quantities that changed while training went on."""

from kd_tf.reporting.looks import look
from kd_tf.reporting.pictures import (
    Picture,
    canvas,
    label_epochs,
    picture,
    styled,
)
from kd_tf.results import Results


def schedule_pictures(results: Results) -> list[Picture]:
    """Draws each quantity, with a line for every model it changed under.

    Args:
        results: A finished run.
    """
    quantities = dict.fromkeys(
        quantity
        for variant in results.variants
        if variant.name in results.trainings
        for quantity in results.trainings[variant.name].schedules
    )
    return [_picture(results, quantity) for quantity in quantities]


@styled
def _picture(results: Results, quantity: str) -> Picture:
    figure, axis = canvas(height=2.6)
    descriptions = []
    for position, variant in enumerate(results.variants):
        training = results.trainings.get(variant.name)
        schedule = training and training.schedules.get(quantity)
        if schedule:
            axis.plot(
                schedule.epochs,
                schedule.values,
                label=variant.title,
                **look(position).line,
            )
            descriptions.append(f"{variant.title}: {schedule.description}")
    axis.set_title(quantity)
    axis.legend()
    label_epochs(axis)
    alt = f"Schedule of {quantity}. {'; '.join(descriptions)}."
    return picture(figure, f"schedule_{quantity}", alt)
