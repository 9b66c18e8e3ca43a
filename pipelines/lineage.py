"""The models and files that a config asks for, and where each comes from.

No other code names them: what follows the stages that make them follows this
list.
"""

from kd_tf.export.recipes import RECIPES
from kd_tf.results import Variant
from pipelines.config.schema import Config

TEACHER, CONTROL, STUDENT, PRUNED = "teacher", "control", "student", "pruned"
FLOAT = "float"


def lineage(config: Config) -> list[Variant]:
    """Every model and file of a run, in the order they are made."""
    models = _models(config)
    last = models[-1].name
    if not config.quantize.enabled:
        file = Variant(FLOAT, ".tflite float", "export", last, is_file=True)
        return [*models, file]
    files = [
        Variant(
            name,
            spec.title,
            "quantize",
            made_from=last,
            compared_with=last,
            is_file=True,
        )
        for name, spec in RECIPES.items()
    ]
    return [*models, *files]


def released_variant(config: Config) -> str:
    """Name of the variant that is the released file."""
    return config.quantize.release if config.quantize.enabled else FLOAT


def reference_variant(config: Config) -> str | None:
    """Name of the variant that the released file replaces, if there is one."""
    return TEACHER if config.teacher.enabled else None


def unpruned_student(config: Config) -> str:
    """The student as it leaves training: distilled, or on labels alone."""
    is_made = config.student.path or config.distill.enabled
    return STUDENT if is_made else CONTROL


def _models(config: Config) -> list[Variant]:
    teacher = reference_variant(config)
    has_control = config.control.enabled and not config.student.path
    models = []
    if teacher:
        models.append(Variant(TEACHER, "teacher", "teach"))
    if has_control:
        models.append(Variant(CONTROL, "student on labels", "control"))
    if config.student.path:
        models.append(Variant(STUDENT, "student", "distill"))
    elif config.distill.enabled:
        models.append(
            Variant(
                STUDENT,
                "student distilled",
                "distill",
                taught_by=teacher,
                compared_with=CONTROL if has_control else None,
            )
        )
    if config.prune.enabled:
        student = unpruned_student(config)
        models.append(
            Variant(
                PRUNED,
                config.prune.spec.title,
                "prune",
                made_from=student,
                taught_by=teacher,
                compared_with=student,
            )
        )
    return models
