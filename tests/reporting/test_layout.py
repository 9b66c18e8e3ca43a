import pytest

from kd_tf.reporting.layout import Section, Table


@pytest.mark.parametrize(
    ("headers", "row"),
    [(["class", "a|b"], ["1", "1"]), (["class", "times"], ["a|b", "1"])],
)
def test_bar_in_a_name_does_not_end_a_cell(headers, row):
    table = Table(headers, [row])
    assert "a\\|b" in table.markdown
    assert "a|b" in table.html
    assert "a\\|b" not in table.html


def test_html_of_a_name_is_escaped():
    assert "&lt;cat&gt;" in Table(["class"], [["<cat>"]]).html


def test_columns_of_numbers_are_aligned_to_the_right():
    table = Table(["a", "b", "c"], [["1", "+0.5", "x"], ["2", "", "1"]])
    # Of the header and both cells of the second column; the first is words.
    assert table.html.count("text-align: right") == 3


def test_table_without_rows_has_its_headers():
    assert "nothing here" in Table(["nothing here", "b"], []).markdown


def test_heading_makes_an_identifier_that_style_sheets_can_select():
    assert Section("Every class: IoU (%)").id == "every-class-iou"


def test_section_with_nothing_in_it_is_empty():
    assert Section("Data").is_empty
    assert not Section("Data", findings=["One."]).is_empty
    assert not Section("Data", tables=[Table(["a"], [["b"]])]).is_empty
