"""What a run comes to, in sentences with their figures."""

from kd_tf.reporting.gains import Gain, distillation_gains
from kd_tf.reporting.rows import Row, result_rows
from kd_tf.results import Results
from kd_tf.tasks import get_task
from kd_tf.tasks.task import Task

_NEARLY = 1.05  # a smaller ratio is not worth a number
_ONE_SEED = "One seed is one seed: such a difference may be chance."


def headline(results: Results) -> list[str]:
    """How much smaller and faster, at what cost, and whether it helped.

    Args:
        results: A finished run.

    Returns:
        Sentences; there is none on what was not measured.
    """
    rows = {row["id"]: row for row in result_rows(results)}
    file = rows[results.released]
    reference = rows.get(results.reference or "", {})
    task = get_task(results.data.task)
    gains = distillation_gains(results)
    sentences = [
        _size(file, reference),
        _latency(file, reference),
        _score(file, reference, task),
        # Models are named only where there are several.
        *(_gain(gain, task, is_named=len(gains) > 1) for gain in gains),
    ]
    return [sentence for sentence in sentences if sentence]


def _size(file: Row, reference: Row) -> str:
    if "bytes" not in file:
        return ""
    text = f"The file has {_bytes(file['bytes'])}"
    if "bytes" not in reference:
        return f"{text}."
    ratio = _times(reference["bytes"], file["bytes"], "smaller", "larger")
    return f"{text}: {ratio} its teacher's {_bytes(reference['bytes'])}."


def _latency(file: Row, reference: Row) -> str:
    if "p50_ms" not in file:
        return ""
    text = f"One inference takes {file['p50_ms']:.3g} ms"
    if "p50_ms" not in reference:
        return f"{text}."
    ratio = _times(reference["p50_ms"], file["p50_ms"], "faster", "slower")
    return f"{text}: {ratio} its teacher's {reference['p50_ms']:.3g} ms."


def _score(file: Row, reference: Row, task: Task) -> str:
    if "test_score" not in file:
        return ""
    text = f"Its test {task.title} is {file['test_score']:.4f}"
    if "test_score" not in reference:
        return f"{text}."
    change = file["test_score"] - reference["test_score"]
    if f"{abs(change):.4f}" == "0.0000":
        return f"{text}, like its teacher's."
    side = "less" if change < 0 else "more"
    return (
        f"{text}: {task.describe_difference(change)} {side} than its "
        f"teacher's {reference['test_score']:.4f}."
    )


def _gain(gain: Gain, task: Task, *, is_named: bool) -> str:
    who = f" {gain.variant.title}" if is_named else ""
    scores = (
        f"{gain.score:.4f} against {gain.baseline:.4f} of the same student, "
        "from the same weights and at the same budget, trained on labels alone"
    )
    difference = task.describe_difference(gain.amount)
    if gain.amount <= 0:
        less = f", {difference} less" if gain.amount else ""
        return f"Distillation did not help{who}: {scores}{less}. {_ONE_SEED}"
    return (
        f"Distillation helped{who}: {scores}, {difference} more"
        f"{_share_of_gap(gain)}. {_ONE_SEED}"
    )


def _share_of_gap(gain: Gain) -> str:
    if gain.taught_by_score is None:
        return ""
    gap = gain.taught_by_score - gain.baseline
    if gap <= 0:
        return "; the teacher itself is no better than those labels"
    if gain.amount >= gap:
        reached = f"{gain.taught_by_score:.4f}"
        return f"; it reaches the teacher's {reached} or passes it"
    share = f"{100 * gain.amount / gap:.0f} %"
    return f"; it closed {share} of the gap to the teacher"


def _times(before: float, after: float, less: str, more: str) -> str:
    """How many times `less` the second is than the first, in words."""
    ratio, word = before / after, less
    if ratio < 1:
        ratio, word = 1 / ratio, more
    if ratio < _NEARLY:
        return "about the same as"
    return f"{ratio:.{0 if ratio >= 10 else 1}f} times {word} than"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
