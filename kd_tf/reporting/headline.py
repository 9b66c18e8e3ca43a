"""What a run comes to, in sentences with their figures."""

from kd_tf.tasks import TASKS

_NEARLY = 1.05  # a ratio below this is no difference worth a number


def headline(stages, rows):
    """How much smaller and faster, at what cost, and whether it helped.

    Args:
        stages: {stage: what it found}; stages that were off are absent.
        rows: Rows of `kd_tf.reporting.tables.result_rows`.

    Returns:
        List of sentences; what was not measured is not spoken of.
    """
    found = {row["id"]: row for row in rows}
    file = found[stages["export"]["released"]]
    teacher = found["teacher"]
    task = TASKS[stages["prepare"]["task"]]
    sentences = [
        _size(file, teacher),
        _latency(file, teacher),
        _cost(file, teacher, task),
        _help(found, task),
    ]
    return [sentence for sentence in sentences if sentence]


def gain_of_distillation(rows):
    """Distilled minus labels only, in the test score, or None."""
    found = {row["id"]: row.get("test_score") for row in rows}
    if None in (found.get("student"), found.get("control")):
        return None
    return found["student"] - found["control"]


def difference(amount, task):
    """A difference of scores in words, without its sign.

    Args:
        amount: Difference of two scores.
        task: `kd_tf.tasks.Task`.
    """
    # A share is told in points of a hundred; R² is no share.
    if task.has_values:
        return f"{abs(amount):.4f}"
    return f"{100 * abs(amount):.2f} points"


def _size(file, teacher):
    size = file.get("bytes")
    if size is None:
        return None
    told = f"The file has {_bytes(size)}"
    if "bytes" not in teacher:
        return f"{told}."
    ratio = _times(teacher["bytes"], size, "smaller", "larger")
    return f"{told}: {ratio} its teacher's {_bytes(teacher['bytes'])}."


def _latency(file, teacher):
    latency = file.get("p50_ms")
    if latency is None:
        return None
    told = f"An answer takes {latency:.3g} ms"
    if "p50_ms" not in teacher:
        return f"{told}."
    ratio = _times(teacher["p50_ms"], latency, "faster", "slower")
    return f"{told}: {ratio} its teacher's {teacher['p50_ms']:.3g} ms."


def _cost(file, teacher, task):
    score = file.get("test_score")
    if score is None:
        return None
    told = f"Its test {task.title} is {score:.4f}"
    if "test_score" not in teacher:
        return f"{told}."
    change = score - teacher["test_score"]
    if f"{abs(change):.4f}" == "0.0000":
        return f"{told}, like its teacher's."
    side = "less" if change < 0 else "more"
    return (
        f"{told}: {difference(change, task)} {side} than its teacher's "
        f"{teacher['test_score']:.4f}."
    )


def _help(found, task):
    gain = gain_of_distillation(list(found.values()))
    if gain is None:
        return None
    student, control = (
        found[row]["test_score"] for row in ("student", "control")
    )
    against = (
        f"{student:.4f} against {control:.4f} of the same student, from the "
        "same weights and at the same budget, trained on labels alone"
    )
    one_seed = "One seed is one seed: such a difference may be chance."
    if gain <= 0:
        lost = f", {difference(gain, task)} less" if gain else ""
        return f"Distillation did not help: {against}{lost}. {one_seed}"
    share = _share_of_gap(gain, control, found["teacher"].get("test_score"))
    return (
        f"Distillation helped: {against}, {difference(gain, task)} "
        f"more{share}. {one_seed}"
    )


def _share_of_gap(gain, control, teacher):
    if teacher is None:
        return ""
    gap = teacher - control
    if gap <= 0:
        return "; the teacher itself is no better than those labels"
    if gain >= gap:
        return f"; it reaches the teacher's {teacher:.4f} or passes it"
    return f"; it closed {100 * gain / gap:.0f} % of the gap to the teacher"


def _times(before, after, less, more):
    """How many times `less` the second is than the first, in words."""
    ratio, word = before / after, less
    if ratio < 1:
        ratio, word = 1 / ratio, more
    if ratio < _NEARLY:
        return "about the same as"
    return f"{ratio:.{0 if ratio >= 10 else 1}f} times {word} than"


def _bytes(count):
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
