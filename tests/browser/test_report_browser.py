"""`report.html` in the system's Chromium, from a file: filters, links, narrow, dark, printed."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from fdp_jax.report import write_report
from tests.browser.conftest import barriers
from tests.helpers.workdirs import make_workdir
from tests.reporting.test_report import NASTY

SUBJECTS = ("00<b>6", "王小明", 'a"b & c')
LONG = ("happiness", "repression", "contempt", "surprise", "disgust", "sadness", "others")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workdir = make_workdir(
        tmp_path_factory.mktemp("browser") / "wörk #1",
        subjects=SUBJECTS,
        classes=NASTY,
        clips_each=8,
    )
    return workdir, write_report(workdir)


@pytest.fixture
def page(made, open_page):
    return open_page((made[0] / "report.html").as_uri())


def shown_rows(page):
    return page.locator("#rows tr[data-run]:visible")


def shown_cards(page):
    return page.locator("article:visible")


def test_it_opens_without_console_messages(page):
    assert shown_rows(page).count() == 24 and shown_cards(page).count() == 12
    assert page.locator("#shown").inner_text().startswith("24 of 24 predictions, ")
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_every_cell_of_the_confusion_matrix_shows_its_clips(made, page):
    _, report = made
    cells = np.array(report["confusion_matrix"])
    links = page.locator(".classes td[style] a")
    assert links.count() == np.count_nonzero(cells.sum(axis=1)) * len(NASTY)
    seen = 0
    for index in range(links.count()):
        links.nth(index).click()
        count = int(links.nth(index).inner_text())
        expect(page.locator("#shown")).to_have_text(re.compile(rf"^\s*{count} of "))
        assert shown_rows(page).count() == count == shown_cards(page).count()
        assert page.locator("#no-cards").is_visible() == (count == 0)
        seen += count
    assert seen == 24


@pytest.mark.parametrize("classes", [LONG[:5], LONG])
def test_the_confusion_matrix_fits_a_laptop(tmp_path, open_page, classes):
    workdir = make_workdir(tmp_path / "work", classes=classes)
    write_report(workdir)
    page = open_page((workdir / "report.html").as_uri(), width=1280)
    widths = page.locator(".scroll:has(> .classes)").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert widths[0] <= widths[1]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_accuracy_of_a_subject_shows_the_subjects_clips(made, page, subject):
    _, report = made
    (entry,) = [entry for entry in report["per_subject"] if entry["subject"] == subject]
    row = page.locator(".subjects tr").filter(has=page.get_by_text(subject, exact=True))
    row.locator("td[style] a").click()
    expect(shown_rows(page).filter(has_not_text=subject)).to_have_count(0)
    assert set(shown_rows(page).locator("td:first-child").all_inner_texts()) == {subject}
    assert page.locator("select[name=subject]").input_value() == subject
    share = f"({100 * entry['acc']:.2f} %)"
    assert share in page.locator("#shown").inner_text()
    assert page.locator("#predictions").bounding_box()["y"] < 300  # scrolled into view
    assert all(subject in title for title in shown_cards(page).locator(".title").all_inner_texts())


def test_filters_combine_are_kept_in_the_address_and_cleared(page, open_page):
    page.select_option("select[name=subject]", "王小明")
    page.select_option("select[name=verdict]", "wrong")
    # The rows follow the address, in an event of their own.
    expect(shown_rows(page).filter(has_not_text="✗")).to_have_count(0)
    expect(shown_rows(page).filter(has_not_text="王小明")).to_have_count(0)
    rows = shown_rows(page).all_inner_texts()
    assert rows and all(row.startswith("王小明") and "✗" in row for row in rows)
    again = open_page(page.url)
    assert shown_rows(again).all_inner_texts() == rows
    again.get_by_role("button", name="Clear").click()
    expect(again.locator("#rows tr[hidden]")).to_have_count(0)
    assert shown_rows(again).count() == 24 and "subject" not in again.url


def test_back_leads_to_the_choice_before(page):
    links = page.locator(".subjects td a")
    links.nth(0).click()
    expect(page.locator("#rows tr[hidden]")).to_have_count(16)
    first = page.url
    links.nth(2).click()
    expect(page).not_to_have_url(first)
    page.go_back()
    expect(page).to_have_url(first)
    expect(page.locator("#rows tr[hidden]")).to_have_count(16)
    assert len(set(shown_rows(page).locator("td:first-child").all_inner_texts())) == 1


def test_more_cards_come_when_asked_for(page):
    assert shown_cards(page).count() == 12
    page.get_by_role("button", name=re.compile("Show more")).click()
    assert shown_cards(page).count() == 24
    assert page.locator("#more").is_hidden()


def test_seeds_are_chosen_one_by_one(tmp_path, open_page):
    workdir = make_workdir(tmp_path / "work", seeds=(0, 1, 2))
    (workdir / "seed_1" / "folds" / "007" / "done.json").unlink()
    write_report(workdir)
    page = open_page((workdir / "report.html").as_uri())
    runs = page.locator("select[name=run]")
    assert shown_rows(page).count() == 24 and runs.input_value() == "headline"
    assert "INCOMPLETE" in page.locator(".notice").inner_text()
    page.select_option("select[name=run]", "last/1")
    expect(shown_rows(page)).to_have_count(8)
    assert shown_cards(page).count() == 0
    assert page.locator("#no-cards").is_visible()
    page.locator("a[href='#run=last%2F2']").first.click()
    expect(page.locator("select[name=run]")).to_have_value("last/2")
    expect(shown_rows(page)).to_have_count(12)


@pytest.mark.parametrize("width", [320, 400, 800, 1280, 1920])
def test_no_width_needs_scrolling_sideways(made, open_page, width):
    page = open_page((made[0] / "report.html").as_uri(), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in page.locator(".subjects td:first-child").all():
        assert name.bounding_box()["height"] < 60  # no more than two lines


def test_names_of_rows_stay_in_sight_where_a_table_is_wider_than_the_page(made, open_page):
    page = open_page((made[0] / "report.html").as_uri(), width=400)
    table = page.locator(".scroll:has(> .classes)")
    name = table.locator("td").first
    before = name.bounding_box()["x"]
    assert table.evaluate("e => { e.scrollLeft = 1000; return e.scrollLeft }") > 50
    assert name.bounding_box()["x"] == before


def brightness(page, selector, what):
    """Mean of the colour's three channels, 0 to 255."""
    colour = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{what}")
    return np.mean([float(number) for number in re.findall(r"[\d.]+", colour)[:3]])


def test_dark_mode_is_light_on_dark_and_the_other_way_round(made, open_page):
    dark = open_page((made[0] / "report.html").as_uri(), scheme="dark")
    light = open_page((made[0] / "report.html").as_uri(), scheme="light")
    for part in ("body", "h2", "td", "select"):
        assert brightness(dark, part, "color") > 140 > 110 > brightness(light, part, "color")
    assert brightness(dark, "body", "backgroundColor") < 50
    assert brightness(light, "body", "backgroundColor") > 230


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_there_is_no_barrier(made, open_page, width, scheme):
    page = open_page((made[0] / "report.html").as_uri(), width=width, scheme=scheme)
    assert barriers(page) == []
    page.set_content("<img src='data:,'><select></select>")  # or the check would check nothing
    assert {rule for rule, _ in barriers(page)} >= {"image-alt", "select-name"}


def test_a_keyboard_reaches_every_control(made, open_page):
    page = open_page((made[0] / "report.html").as_uri(), width=400)
    reached = set()
    page.keyboard.press("Tab")
    for _ in range(400):
        reached.add(page.evaluate(
            "(e => e.name || e.ariaLabel || e.textContent.trim())(document.activeElement)"
        ))  # fmt: skip
        if page.evaluate("document.activeElement.id === 'more'"):
            break
        page.keyboard.press("Tab")
    assert {"By class", "subject", "label", "prediction", "verdict", "Clear"} <= reached
    page.keyboard.press("Enter")
    assert shown_cards(page).count() == 24
    images = page.locator("img, svg[role=img]").evaluate_all(
        "all => all.map(e => e.alt || e.ariaLabel)"
    )
    assert len(images) > 50 and all(images)


def test_on_paper_there_are_all_rows_and_no_controls(made, open_page):
    page = open_page((made[0] / "report.html").as_uri(), scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".filters").is_hidden() and page.locator("nav").is_hidden()
    assert page.evaluate(
        "(() => { const box = document.querySelector('.rows');"
        " return box.scrollHeight <= box.clientHeight + 1; })()"
    )
    assert brightness(page, "body", "backgroundColor") == 255
    assert brightness(page, "body", "color") < 110
    assert page.locator("thead").first.evaluate("e => getComputedStyle(e).display") == (
        "table-header-group"  # repeated on every sheet
    )
    assert len(page.pdf()) > 10_000


def test_without_scripts_everything_is_there(made, open_page):
    page = open_page((made[0] / "report.html").as_uri(), scripts=False)
    assert shown_rows(page).count() == 24 == shown_cards(page).count()
    assert page.locator(".filters").is_hidden()
