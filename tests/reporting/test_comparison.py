import dataclasses

from kd_tf.reporting.comparison import FinishedRun, write_comparison
from tests.reporting import hand_made


def page_of(runs, folder):
    write_comparison(runs, {}, folder)
    return (folder / "compare.md").read_text()


def test_runs_of_other_classes_share_a_table(tmp_path):
    results = hand_made.results()
    data = dataclasses.replace(
        results.data, class_names=["bird", "fish", "<cat>"]
    )
    runs = [
        FinishedRun("one", results, None),
        FinishedRun("two", dataclasses.replace(results, data=data), None),
    ]
    text = page_of(runs, tmp_path)
    rows = [
        [cell.strip() for cell in line.split(" | ")]
        for line in text.replace("\\|", "-").splitlines()
    ]
    assert ["| <cat>", "0.5000", "1.0000 |"] in rows
    assert ["| fish", "", "|"] in rows
    assert ["| bird", "1.0000", "0.5000 |"] in rows


def test_other_machine_is_pointed_out(tmp_path):
    results = hand_made.results()
    environment = dataclasses.replace(
        results.environment, machine="another", git_commit="abc", git_dirty=True
    )
    other = dataclasses.replace(results, environment=environment)
    sentence = "Latencies are of different machines."
    runs = [FinishedRun(label, results, None) for label in ("one", "two")]
    assert sentence not in page_of(runs, tmp_path)
    text = page_of([runs[0], FinishedRun("two", other, None)], tmp_path)
    assert sentence in text
    assert "abc, changed since" in text


def test_long_labels_are_shortened_in_pictures_and_still_differ(tmp_path):
    results = hand_made.results()
    labels = ["a/" + "run_" * 20, "b/" + "run_" * 20]
    runs = [FinishedRun(label, results, None) for label in labels]
    text = page_of(runs, tmp_path)
    assert f"| {labels[0]} " in text
    assert "1: …run_" in text
    assert "2: …run_" in text


def test_models_of_one_title_are_overlaid_run_by_run(tmp_path):
    results = hand_made.results()
    runs = [
        FinishedRun("one", results, None),
        FinishedRun("two", hand_made.without(results, "control"), None),
    ]
    text = page_of(runs, tmp_path)
    assert (
        "Validation accuracy of teacher by epoch: one, best 0.5000; two, best "
        "0.5000." in text
    )
    assert (
        "Validation accuracy of student on labels by epoch: one, best 0.5000."
        in text
    )
