import numpy as np
import pytest

from kd_tf.data.sources import csv
from kd_tf.data.sources.csv import csv_source
from kd_tf.data.splitting.assignment import SplitSettings
from tests.data.hand_made import read_all, write

TABLE = """\
age,height,kind,who
1,0.5,cat,ann
2,-1.5,dog,bob
3,2e3,cat,ann
"""


@pytest.fixture
def table(tmp_path):
    """Function writing a table and returning its path."""

    def write(text=TABLE, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return str(path)

    return write


def classify(path, **options):
    return csv_source(path, target="kind", task="classification", **options)


def test_classification(table):
    source = classify(table(), features=["height", "age"])
    x, y = read_all(source.train)
    assert (x.dtype, y.dtype) == (np.float32, np.int64)
    assert x.tolist() == [[0.5, 1], [-1.5, 2], [2000, 3]]
    assert y.tolist() == [0, 1, 0]
    assert source.class_names == ["cat", "dog"]
    assert (source.example.shape, source.target.shape) == ((2,), ())
    assert (source.train.names, source.test, source.problems) == (
        None,
        None,
        [],
    )


def test_features_are_the_other_columns(table):
    source = classify(table(), name_column="who")
    assert read_all(source.train)[0].tolist() == [
        [1, 0.5],
        [2, -1.5],
        [3, 2000],
    ]
    assert source.train.names == ["ann", "bob", "ann"]


def test_name_column_is_a_feature_if_it_is_listed(table):
    source = classify(table(), name_column="age", features=["age"])
    assert read_all(source.train)[0].tolist() == [[1], [2], [3]]
    assert source.train.names == ["1", "2", "3"]


def test_rows_of_one_name_are_never_separated(table, tmp_path):
    lines = [f"{i},{i % 2},p{i // 5}" for i in range(50)]
    path = table("x,y,who\n" + "\n".join(lines))
    source = csv_source(
        path, target="y", task="classification", name_column="who"
    )
    record, _ = write(source, tmp_path, SplitSettings(0.25, 0.2))
    assert record.examples == {"train": 30, "validation": 10, "test": 10}


ORDERS = {
    "numbers": (["10", "2", "-1", "9.5"], ["-1", "2", "9.5", "10"]),
    "texts": (["b", "10", "2", "a"], ["10", "2", "a", "b"]),
    "texts that floats know": (["nan", "1", "inf"], ["1", "inf", "nan"]),
}


@pytest.mark.parametrize(("texts", "ordered"), ORDERS.values(), ids=ORDERS)
def test_classes_are_in_order(table, texts, ordered):
    path = table("x,kind\n" + "".join(f"0,{text}\n" for text in texts))
    source = classify(path)
    assert source.class_names == ordered
    assert [ordered[i] for i in read_all(source.train)[1]] == texts


def test_multilabel(table):
    path = table("x,a,b,c\n7,0,1,1\n8,1,0,0.0\n")
    source = csv_source(
        path, target=["c", "a"], task="multilabel", features=["x"]
    )
    x, y = read_all(source.train)
    assert x.tolist() == [[7], [8]]
    assert (y.tolist(), y.dtype) == ([[1, 0], [0, 1]], np.uint8)
    assert source.class_names == ["c", "a"]
    assert source.target.shape == (2,)


@pytest.mark.parametrize(
    ("target", "values"),
    [("b", [[2], [5]]), (["c", "b"], [[3, 2], [6.25, 5]])],
)
def test_regression(table, target, values):
    path = table("a,b,c\n1,2,3\n4,5,6.25\n")
    source = csv_source(path, target=target, task="regression", features=["a"])
    x, y = read_all(source.train)
    assert (x.tolist(), y.tolist()) == ([[1], [4]], values)
    assert y.dtype == np.float32
    assert source.class_names == ([target] if target == "b" else target)


SPELLINGS = {
    "semicolons": TABLE.replace(",", ";"),
    "tabs": TABLE.replace(",", "\t"),
    "spaces around": TABLE.replace(",", " , "),
    "quotes": TABLE.replace("cat", '"cat"').replace("age", '"age"'),
    "windows": TABLE.replace("\n", "\r\n"),
    "no last line end": TABLE.rstrip(),
    "blank lines": TABLE.replace("\n", "\n\n"),
    "mark of excel": "\ufeff" + TABLE,
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_of_a_table(table, text):
    source = classify(table(text), features=["age", "height"])
    x, y = read_all(source.train)
    assert x.tolist() == [[1, 0.5], [2, -1.5], [3, 2000]]
    assert y.tolist() == [0, 1, 0]
    assert source.class_names == ["cat", "dog"]
    assert source.problems == []


def test_a_line_break_in_a_cell_counts_as_a_line(table):
    path = table('x,kind\n1,"c\nt"\n2,dog\n3x,dog\n')
    source = classify(path)
    assert source.class_names == ["c\nt", "dog"]
    assert source.problems == [
        ("line 5", "column 'x' is not a valid number: '3x'")
    ]


INVALID_LINES = {
    "abc,1,cat": "column 'age' is not a valid number: 'abc'",
    "1,,cat": "column 'height' is empty",
    "1, ,cat": "column 'height' is empty",
    "nan,1,cat": "column 'age' is not a valid number: 'nan'",
    "1,1e39,cat": "column 'height' is not a valid number: '1e39'",
    "x,y,cat": "column 'age' is not a valid number: 'x'; column "
    "'height' is not a valid number: 'y'",
    "1,1,": "column 'kind' is empty",
    "1,1": "has 2 cells, the header has 3",
    "1,1,cat,1": "has 4 cells, the header has 3",
    '1,"1"1,cat': "',' expected after '\"'",
}


def test_every_invalid_line_is_listed_and_the_others_are_right(table, tmp_path):
    lines = ["age,height,kind"]
    for i, invalid in enumerate(INVALID_LINES):
        lines += [f"{i},{2 * i},{'cd'[i % 2]}", invalid]
    source = classify(table("\n".join(lines) + '\n1,1,"open\n5,6,d\n'))
    problems = dict(source.problems)
    expected = {
        f"line {2 * i + 3}": w for i, w in enumerate(INVALID_LINES.values())
    }
    assert problems == {**expected, "line 23": "unexpected end of data"}
    x, y = read_all(source.train)
    assert x.tolist() == [[i, 2 * i] for i in range(10)]
    assert y.tolist() == [i % 2 for i in range(10)]
    # Reading again lists nothing twice.
    assert len(source.problems) == 11
    message = "(?s)these examples, .*line 3: column 'age' is not a valid"
    with pytest.raises(ValueError, match=message):
        write(source, tmp_path)
    record, _ = write(source, tmp_path, on_error="skip")
    assert sum(record.examples.values()) == 10


def test_flag_that_is_neither_0_nor_1_is_listed(table):
    path = table("x,a,b\n1,0,1\n2,0,2\n3,yes,1\n")
    source = csv_source(path, target=["a", "b"], task="multilabel")
    assert source.problems == [
        ("line 3", "column 'b' is neither 0 nor 1: '2'"),
        ("line 4", "column 'a' is not a valid number: 'yes'"),
    ]
    assert read_all(source.train)[1].tolist() == [[0, 1]]


def test_line_without_a_name_is_listed(table):
    source = classify(
        table(TABLE.replace("cat,ann\n", "cat,\n", 1)), name_column="who"
    )
    assert source.train.names == ["bob", "ann"]
    assert source.problems == [("line 2", "column 'who' is empty")]


def test_table_is_read_in_chunks(table, monkeypatch):
    monkeypatch.setattr(csv, "_CHUNK", 3)
    path = table("x,y\n" + "".join(f"{i},{i}\n" for i in range(8)))
    source = csv_source(path, target="y", task="regression")
    assert [len(y) for _, _, y in source.train.chunks()] == [3, 3, 2]
    assert read_all(source.train)[0][:, 0].tolist() == list(range(8))


GOOD = {"target": "kind", "task": "classification", "features": ["age"]}
REFUSED = {
    "no such task": (
        TABLE,
        {"task": "segmentation"},
        "cannot hold the targets of 'segmentation'. Allowed: classification, "
        "multilabel, regression. Received: 'segmentation'",
    ),
    "two columns of classes": (
        TABLE,
        {"target": ["kind", "who"]},
        "`target` must be one column for classification.*: kind, who",
    ),
    "no target": (
        TABLE,
        {"target": [], "task": "regression"},
        "at least one column for regression. Received: none",
    ),
    "missing columns": (
        TABLE,
        {"target": "sort", "features": ["age", "size"]},
        "Allowed: age, height, kind, who. Received: sort, size",
    ),
    "missing name column": (TABLE, {"name_column": "x"}, "Received: x"),
    "target among the features": (
        TABLE,
        {"target": "age", "task": "regression"},
        "no target among them. Received: features age; target age",
    ),
    "no features": (
        TABLE,
        {"features": []},
        "Received: features none; target kind",
    ),
    "no features but the target": (
        "kind\na\nb\n",
        {"features": None},
        "Received: features none; target kind",
    ),
    "column without a name": (
        ",age,kind\n0,1,a\n1,2,b\n",
        {"features": None},
        "column without a name.*Received: '', 'age', 'kind'",
    ),
    "empty file": ("", {}, "names every column once.*: an empty line"),
    "column twice": ("age,kind,age\n", {}, "Received: 'age' twice"),
    "header alone": ("age,kind\n", {}, "nothing to learn.* 0 valid lines"),
    "one class": (
        "age,kind\n1,a\nx,b\n",
        {},
        "1 valid lines, target a, 1 invalid lines\n  line 3: column 'age' is",
    ),
}


@pytest.mark.parametrize(
    ("text", "options", "message"), REFUSED.values(), ids=REFUSED
)
def test_tables_that_cannot_be_used_are_refused(table, text, options, message):
    with pytest.raises(ValueError, match=message):
        csv_source(table(text), **{**GOOD, **options})


def test_table_that_is_not_text_is_refused(table, tmp_path):
    with pytest.raises(ValueError, match="cannot be read as a table"):
        classify(table(TABLE.replace("cat", "chât"), encoding="latin-1"))
    with pytest.raises(ValueError, match="cannot be read as a table"):
        classify(str(tmp_path / "none.csv"))
