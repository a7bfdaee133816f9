"""The paper's numbers, and its significance tests recomputed."""

import pytest

from fdp_jax.paper.numbers import paper_table
from fdp_jax.paper.recomputed import printed, rank_sum_notes, recompute
from tests.metrics.test_statistics import by_hand

TABLES = [f"table{number}" for number in range(1, 16)]


def test_cells_are_as_printed():
    table = paper_table("table4")
    assert table.number("casme2.acc", method="FDP") == 88.42
    assert table.number("samm.f1", method="GACNN") == 82.79
    assert table.number("casme2.f1", method="HIGO+Mag") is None
    assert dict(zip(table.columns, table.rows[16], strict=True)) == {
        "method": "Dynamic", "reference": 57, "paper": "TAFFC'22", "type": "DL+RI+KF",
        "casme2.acc": 72.61, "casme2.f1": 67.00, "samm.acc": None, "samm.f1": None,
    }  # fmt: skip
    assert paper_table("table1").number("casme3", category="disgust") == 281
    assert paper_table("table2").number("casme_sq", category="negative") == 21
    assert paper_table("table3").number("samm", attribute="average frames") == 74.31
    assert paper_table("table5").number("samm.acc", method="FDP") == 91.25
    assert paper_table("table6").number("casme_sq.f1", method="SLSTT") == 73.98
    assert paper_table("table7").number("casme3.uar", method="HTNet") == 54.15
    assert paper_table("table8").number("samm_to_casme2.war", method="I2Transformer") == 66.2
    assert paper_table("table9").number("f1", ablate="no_local_global") == 59.05
    assert paper_table("table10").number("parameters_millions", backbone="conv") == 28.71
    table = paper_table("table11")
    assert table.number("f1", dynamic_image_weight=1000, rank_weight=0.1) == 23.67
    assert paper_table("table12").number("p_value", benchmark="CAS(ME)^2") == 0.02477
    assert paper_table("table13").number("statistic", benchmark="Modules") == 2.611
    assert paper_table("table14").number("mse_thousandths", ablate="no_mer") == 1.78
    assert paper_table("table15").rows[1] == ("006_5_11", "samm", "006", "anger", "contempt")


def test_a_cell_that_is_not_there_is_refused():
    table = paper_table("table11")
    with pytest.raises(KeyError, match="4 rows"):
        table.number("f1", rank_weight=0.1)
    with pytest.raises(KeyError, match="0 rows"):
        table.number("f1", rank_weight=7)
    with pytest.raises(KeyError, match="not war"):
        table.number("war", rank_weight=7)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_whole(name):
    table = paper_table(name)
    assert table.title and len(set(table.columns)) == len(table.columns)
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert len(set(table.column(table.columns[0]))) == len(table.rows)


@pytest.mark.parametrize("name", TABLES)
def test_bold_is_best_and_underlined_is_second(name):
    table = paper_table(name)
    for marks, place in ((table.best, 0), (table.second, 1)):
        for column, row in marks.items():
            values = [value for value in table.column(column) if value is not None]
            lower_is_better = column in ("parameters_millions", "mse_thousandths")
            ranked = sorted(values, reverse=not lower_is_better)
            assert table.number(column, **{table.columns[0]: row}) == ranked[place], column


def test_the_categories_that_are_used_have_the_counts_of_the_protocols():
    table = paper_table("table1")
    totals = {
        corpus: sum(table.number(corpus, category=name) for name in names)
        for corpus, names in table.used.items()
    }
    assert totals == {"casme2": 249, "samm": 136, "casme3": 943}
    assert sum(paper_table("table2").column("casme2")[:3]) == 156
    assert sum(paper_table("table2").column("samm")[:3]) == 133
    clips = paper_table("table3")
    assert sum(paper_table("table2").column("casme_sq")) == clips.number(
        "casme_sq", attribute="clips"
    )
    # All that are labelled: those evaluated and the rest.
    whole = sum(count for count in table.column("samm") if count)
    assert whole == clips.number("samm", attribute="clips") == 159


def test_averages_of_table_8_follow_from_its_directions():
    table = paper_table("table8")
    for score in ("war", "uar"):
        columns = [f"{way}.{score}" for way in ("casme2_to_samm", "samm_to_casme2", "average")]
        for one, other, average in zip(*map(table.column, columns), strict=True):
            if average is not None:
                assert average == pytest.approx((one + other) / 2, abs=0.05 + 1e-9)


def test_the_same_run_has_the_same_numbers_in_every_table():
    f1 = paper_table("table4").number("samm.f1", method="FDP")
    for name, row in (
        ("table9", {"method": "FDP"}),
        ("table10", {"backbone": "fdp"}),
        ("table11", {"dynamic_image_weight": 100, "rank_weight": 0.1}),
    ):
        assert paper_table(name).number("f1", **row) == f1 == 85.29


def test_seven_of_eight_rows_of_tables_12_and_13_are_reproduced_to_every_digit():
    rows = {row.benchmark: row for name in ("table12", "table13") for row in recompute(name)}
    assert {name: len(row.rivals) for name, row in rows.items()} == {
        "CASME II, five categories": 17, "SAMM, five categories": 13,
        "CASME II, three categories": 4, "SAMM, three categories": 4, "CAS(ME)^2": 3,
        "CAS(ME)^3": 5, "Modules": 5, "Backbones": 4,
    }  # fmt: skip
    other = rows.pop("SAMM, five categories")
    assert len(rows) == 7
    for row in rows.values():
        n = len(row.rivals)
        assert printed(row.ours) == printed(row.paper)
        assert row.repeats == n
        assert (row.ours.statistic, row.ours.p_value) == pytest.approx(by_hand(n, n), rel=1e-12)
    assert printed(other.paper) == ("4.243", "1.106e-05")
    assert printed(other.ours) == ("4.333", "7.343e-06")
    assert other.repeats == 12
    assert other.value == 85.29 and max(other.rivals) == 82.79


def test_the_notes_say_what_differs():
    differs, count, meaning = rank_sum_notes(recompute("table12"))
    assert "give 4.333 / 7.343e-06, but the paper prints 4.243 / 1.106e-05" in differs
    assert "12 against 13 would give 4.243 / 1.105e-05" in differs
    assert count.startswith("5 of 6 rows are reproduced")
    assert "the number of rivals alone" in meaning
    assert rank_sum_notes(recompute("table13"))[0].startswith("2 of 2 rows are reproduced")
