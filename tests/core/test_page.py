"""Pages: well-formed, self-contained, and nothing from data is taken for markup."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from towpath.core import page

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30)


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<all>{markup}</all>")


@given(st.lists(st.tuples(TEXT, st.floats(0, 1e9), TEXT), max_size=4))
def test_labels_of_bars_are_text_and_never_markup(rows: list[tuple[str, float, str]]) -> None:
    texts = [element.text or "" for element in parsed(page.bars(rows, "x")).iter("text")]
    assert texts[1::2] == [text for _, _, text in rows]


def test_the_longest_bar_fills_the_room_and_the_others_are_to_scale() -> None:
    widths = [
        float(element.get("width", 0))
        for element in parsed(page.bars([("a", 2, ""), ("b", 1, "")], "x")).iter("rect")
    ]
    assert widths[0] == 2 * widths[1] > 0


def test_shares_of_a_row_fill_it_and_are_in_the_legend() -> None:
    whole = parsed(page.shares([("wiki", {"kept": 0.75, "too_short": 0.25})], "x"))
    first, second = (float(element.get("width", 0)) for element in whole.iter("rect"))
    assert first == 3 * second
    assert [element.tail for element in whole.iter("i")] == ["kept", "too_short"]


def test_columns_of_a_histogram_are_as_high_as_their_counts() -> None:
    heights = [
        float(element.get("height", 0))
        for element in parsed(page.histogram([1, 2, 4, 8], [10, 5, 0], "tokens", "x")).iter("rect")
    ]
    assert heights[0] == 2 * heights[1]
    assert heights[2] == 0


def test_a_table_escapes_its_cells_and_puts_numbers_right() -> None:
    cells = list(parsed(page.table(["a", "b"], [["<b>", "1,000"]])).iter("td"))
    assert [cell.text for cell in cells] == ["<b>", "1,000"]
    assert [cell.get("class") for cell in cells] == [None, "number"]


def test_a_page_loads_nothing_from_elsewhere() -> None:
    whole = page.page("a < b", [page.heading("h & h"), page.paragraph("p")])
    assert "<title>a &lt; b</title>" in whole
    assert "http" not in whole
    assert "<script" not in whole


POINTS = st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e12, 1e12)), max_size=6)


@given(st.dictionaries(TEXT, POINTS, max_size=3))
def test_curves_stay_inside_their_picture(lines: dict[str, list[tuple[float, float]]]) -> None:
    picture = parsed(page.curves(lines, "steps", "nats", "x"))
    for drawn in picture.iter("svg"):
        _, _, width, height = map(float, drawn.get("viewBox", "").split())
        for line in drawn.iter("polyline"):
            for point in line.get("points", "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height


def test_curves_stand_on_lines_at_round_numbers_and_name_their_last_values() -> None:
    whole = parsed(page.curves({"loss": [(0, 8.27), (300, 3.53)], "one": [(300, 4.0)]}, "steps", "nats", "x"))
    texts = [element.text for element in whole.iter("text")]
    assert texts[:-2] == "nats 4 5 6 7 8 0 100 200 300 steps".split()
    assert texts[-2:] == ["loss 3.53", "one 4"]
    assert len(list(whole.iter("circle"))) == 1


def test_points_that_are_no_numbers_are_left_out_of_curves() -> None:
    whole = parsed(page.curves({"loss": [(0, float("inf")), (1, 1.0), (2, float("nan"))]}, "", "", "x"))
    assert [line.get("points", "").count(",") for line in whole.iter("polyline")] == [1]


def test_numbers_in_brief() -> None:
    assert list(map(page.brief, (0.00010651, 3.5, 4378.78, 27_650, 1.04705e9))) == [
        "0.0001065", "3.5", "4,379", "27.65k", "1.047G",
    ]  # fmt: skip
