"""The paper's numbers, and its significance tests recomputed."""

import json
from pathlib import Path

import pytest

from datasets.protocols import get_protocol
from fdp_jax import paper_numbers
from fdp_jax.paper.registry import experiment
from fdp_jax.paper.result_table import significance_table
from fdp_jax.paper_numbers import paper_table, published_scores
from tests.metrics.test_statistics import by_hand

CONTENT = json.loads(Path(paper_numbers.__file__).with_suffix(".json").read_text(encoding="utf-8"))


def number(name, column, **cells):
    """The number in the one row that has these cells."""
    (row,) = [row for row in paper_table(name).rows if cells.items() <= row.items()]
    return row[column]


def test_cells_are_as_printed():
    assert number("table4", "casme2.acc", method="FDP") == 88.42
    assert number("table4", "samm.f1", method="GACNN") == 82.79
    assert number("table4", "casme2.f1", method="HIGO+Mag") is None
    assert paper_table("table4").rows[16] == {
        "method": "Dynamic", "reference": 57, "paper": "TAFFC'22", "type": "DL+RI+KF",
        "casme2.acc": 72.61, "casme2.f1": 67.00, "samm.acc": None, "samm.f1": None,
    }  # fmt: skip
    assert number("table1", "casme3", category="disgust") == 281
    assert number("table2", "casme_sq", category="negative") == 21
    assert number("table3", "samm", attribute="average frames") == 74.31
    assert number("table5", "samm.acc", method="FDP") == 91.25
    assert number("table6", "casme_sq.f1", method="SLSTT") == 73.98
    assert number("table7", "casme3.uar", method="HTNet") == 54.15
    assert number("table8", "samm_to_casme2.war", method="I2Transformer") == 66.2
    assert number("table9", "f1", ablate="no_local_global") == 59.05
    assert number("table10", "parameters_millions", backbone="conv") == 28.71
    assert number("table11", "f1", dynamic_image_weight=1000, rank_weight=0.1) == 23.67
    assert number("table12", "p_value", benchmark="CAS(ME)^2") == 0.02477
    assert number("table13", "statistic", benchmark="Modules") == 2.611
    assert number("table14", "mse_thousandths", ablate="no_mer") == 1.78
    last = paper_table("table15").rows[1]
    assert tuple(last.values()) == ("006_5_11", "samm", "006", "anger", "contempt")


@pytest.mark.parametrize("name", CONTENT)
def test_every_table_is_whole(name):
    table = paper_table(name)
    assert CONTENT[name]["title"] and len(set(table.columns)) == len(table.columns)
    assert all(tuple(row) == table.columns for row in table.rows)
    assert len(set(table.column(table.columns[0]))) == len(table.rows)


@pytest.mark.parametrize("name", CONTENT)
def test_bold_is_best_and_underlined_is_second(name):
    table, content = paper_table(name), CONTENT[name]
    for marks, place in ((content.get("best", {}), 0), (content.get("second", {}), 1)):
        for column, row in marks.items():
            values = [value for value in table.column(column) if value is not None]
            lower_is_better = column in ("parameters_millions", "mse_thousandths")
            ranked = sorted(values, reverse=not lower_is_better)
            assert number(name, column, **{table.columns[0]: row}) == ranked[place], column


def test_the_categories_that_are_used_have_the_counts_of_the_protocols():
    assert list(CONTENT) == [f"table{place}" for place in range(1, 16)]
    totals = {
        corpus: sum(number("table1", corpus, category=name) for name in names)
        for corpus, names in CONTENT["table1"]["used"].items()
    }
    assert totals == {"casme2": 249, "samm": 136, "casme3": 943}
    assert sum(paper_table("table2").column("casme2")[:3]) == 156
    assert sum(paper_table("table2").column("samm")[:3]) == 133
    clips = number("table3", "casme_sq", attribute="clips")
    assert sum(paper_table("table2").column("casme_sq")) == clips
    # All that are labelled: those evaluated and the rest.
    whole = sum(count for count in paper_table("table1").column("samm") if count)
    assert whole == number("table3", "samm", attribute="clips") == 159


def whole_numbers(percentage, totals, digits=2):
    """Pairs (k, n) with 100 k / n printed like this; the paper rounds some numbers, cuts others."""
    pairs = []
    for n in totals:
        k = round(percentage * n / 100)
        share = 100 * k / n
        if percentage in (round(share, digits), int(share * 10**digits) / 10**digits):
            pairs.append((k, n))
    return pairs


def of_fdp(table, column):
    return number(table, column, method="FDP")


def test_the_notes_on_counts_follow_from_the_digits():
    methods = ("FDP", "SLSTT", "AU-GCN", "MicroExpSTCNN")
    printed = [number("table6", "casme_sq.acc", method=name) for name in methods]
    found = [{n: k for k, n in whole_numbers(value, range(20, 58))} for value in printed]
    assert set.intersection(*map(set, found)) == {49}
    assert [count[49] for count in found] == [41, 37, 34, 33]
    assert whole_numbers(of_fdp("table4", "casme2.acc"), range(243, 250)) == []
    assert whole_numbers(of_fdp("table5", "casme2.acc"), range(130, 157)) == [(140, 151)]
    assert whole_numbers(of_fdp("table5", "samm.acc"), range(100, 134)) == []
    casme2, samm = (part.expected_counts("").clips for part in get_protocol(None, "cross").parts)
    assert whole_numbers(of_fdp("table8", "casme2_to_samm.war"), [samm], 1) == [(39, 67)]
    assert whole_numbers(of_fdp("table8", "samm_to_casme2.war"), [casme2], 1) == [(97, 156)]
    of_samm = {name: paper_table(name).column("acc") for name in ("table9", "table10", "table11")}
    pooled = {value: whole_numbers(value, [136]) for name in of_samm for value in of_samm[name]}
    assert len(pooled) == 15 and {value: pairs for value, pairs in pooled.items() if pairs} == {
        70.58: [(96, 136)], 76.47: [(104, 136)], 50.73: [(69, 136)], 51.47: [(70, 136)],
    }  # fmt: skip
    others = {*of_samm["table9"], *of_samm["table10"]} - {70.58, 76.47}
    assert 86.69 in others and not any(whole_numbers(value, range(128, 137)) for value in others)
    (same,) = [row for row in paper_table("table11").rows if row["weights"] == "1, 0.1"]
    (without,) = [row for row in paper_table("table9").rows if row["ablate"] == "no_dic"]
    assert (same["acc"], same["f1"]) == (without["acc"], without["f1"])


@pytest.mark.parametrize(
    ("corpora", "protocol", "table", "scores", "words"),
    [
        ("samm", "5class", 4, {"acc": 86.69, "f1": 85.29}, ["SAMM: 86.69 % is no whole number"]),
        ("casme2", "3class", 5, {"acc": 92.72, "f1": 90.71}, ["CASME II: 92.72 % is 140 of 151"]),
        ("casme_sq", "4class", 6, {"acc": 83.67, "f1": 81.69}, ["33 of 49 clips"]),
        ("casme3", "7class", 7, {"f1": 59.78, "uar": 57.84}, []),
        ("casme2+samm", "cross", 8, {"war": 60.2, "uar": 53.9}, ["39 of 67", "97 of 156"]),
    ],
)
def test_a_protocol_has_the_row_of_its_table(corpora, protocol, table, scores, words):
    found = published_scores(corpora, protocol)
    assert (found.table, found.scores, len(found.notes)) == (table, scores, len(words))
    assert all(word in note for word, note in zip(words, found.notes, strict=True))
    assert published_scores("smic", "3class") is None


def test_averages_of_table_8_follow_from_its_directions():
    table = paper_table("table8")
    for score in ("war", "uar"):
        columns = [f"{way}.{score}" for way in ("casme2_to_samm", "samm_to_casme2", "average")]
        for one, other, average in zip(*map(table.column, columns), strict=True):
            if average is not None:
                assert average == pytest.approx((one + other) / 2, abs=0.05 + 1e-9)


def test_the_same_run_has_the_same_numbers_in_every_table():
    f1 = number("table4", "samm.f1", method="FDP")
    for name, row in (
        ("table9", {"method": "FDP"}),
        ("table10", {"backbone": "fdp"}),
        ("table11", {"dynamic_image_weight": 100, "rank_weight": 0.1}),
    ):
        assert number(name, "f1", **row) == f1 == 85.29


def test_seven_of_eight_rows_of_tables_12_and_13_are_reproduced_to_every_digit():
    tables = [significance_table(experiment(name)) for name in ("table12", "table13")]
    rows = {row[0]: row[1:] for table in tables for row in table.rows}
    assert {name: rivals for name, (rivals, *_) in rows.items()} == {
        "CASME II, five categories": 17, "SAMM, five categories": 13,
        "CASME II, three categories": 4, "SAMM, three categories": 4, "CAS(ME)^2": 3,
        "CAS(ME)^3": 5, "Modules": 5, "Backbones": 4,
    }  # fmt: skip
    other = rows.pop("SAMM, five categories")
    assert other[1:] == ("4.243", "4.333", "1.106e-05", "7.343e-06")
    for n, *cells in rows.values():
        statistic, p_value = by_hand(n, n)
        assert cells == [f"{statistic:.3f}"] * 2 + [f"{p_value:.3e}"] * 2


def test_the_notes_say_what_differs():
    differs, count, meaning, _ = significance_table(experiment("table12")).notes
    assert "give 4.333 / 7.343e-06, but the paper prints 4.243 / 1.106e-05" in differs
    assert "12 against 13 would give 4.243 / 1.105e-05" in differs
    assert count.startswith("5 of 6 rows are reproduced")
    assert "the number of rivals alone" in meaning
    first, *_ = significance_table(experiment("table13")).notes
    assert first.startswith("2 of 2 rows are reproduced")
