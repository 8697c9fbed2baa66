"""The chat page in headless Chromium: a streamed answer, nothing from elsewhere, text that stays text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from towpath.serve.config import ServeConfig

from .doubles import FakeModel, Live, until

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEY = "a-key-of-more-than-16-characters"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent: apt-get install chromium"),
]

PAYLOADS = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg/onload=window.hacked=1>",
    "<a href='javascript:window.hacked=1'>here</a>",
    "</div><iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "<style>body{display:none}</style>",
    "<img src='http://elsewhere.example/x.png'>",
    "&lt;script&gt; ${window.hacked=1} {{constructor.constructor('window.hacked=1')()}}",
]


@dataclass
class Opened:
    """A page with what it asked for and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[Live], Opened]]:
    contexts = []

    def opened(live: Live) -> Opened:
        contexts.append(browser.new_context())
        result = Opened(contexts[-1].new_page())
        result.page.on("request", lambda request: result.requests.append(request.url))
        result.page.on("console", lambda message: result.complaints.append(message.text))
        result.page.on("pageerror", lambda error: result.complaints.append(str(error)))
        result.page.on("dialog", lambda dialog: result.complaints.append(f"dialog {dialog.message}"))
        result.page.goto(live.url)
        return result

    yield opened
    for context in contexts:
        context.close()


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def test_a_typed_message_gets_a_streamed_answer_and_nothing_comes_from_elsewhere(live_of, open_page) -> None:
    gate = threading.Semaphore(0)
    live = live_of(FakeModel(says="Hello there!", ends=True, gate=gate, name="tiny-chat"))
    opened = open_page(live)
    page = opened.page
    expect(page.get_by_role("heading", name="tiny-chat")).to_be_visible()
    expect(page.get_by_text("It writes what is likely, not what is true")).to_be_visible()
    ask(page, "Hi")
    answer = page.locator(".turn.assistant .said")
    gate.release(5)
    expect(answer).to_have_text("Hello")
    gate.release(100)
    expect(answer).to_have_text("Hello there!")
    expect(page.get_by_text("12 tokens in")).to_be_visible()
    assert {url.rpartition("/")[0].startswith(live.url) for url in opened.requests} == {True}
    assert opened.complaints == []


def test_markup_from_the_model_or_the_reader_is_shown_as_text(live_of, open_page) -> None:
    text = "\n".join(PAYLOADS)
    opened = open_page(live_of(FakeModel(says=text, ends=True, context_tokens=5000)))
    page = opened.page
    ask(page, PAYLOADS[1])
    expect(page.locator(".writing")).to_have_count(0)
    assert page.locator(".assistant .said").text_content() == text
    assert page.locator(".user .said").text_content() == PAYLOADS[1]
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("#turns :is(script, img, svg, a, iframe, style)").count() == 0
    assert opened.complaints == []
    assert not any("elsewhere" in url for url in opened.requests)


def test_stopping_by_button_or_escape_stops_the_generation(live_of, open_page) -> None:
    live = live_of(FakeModel(step_seconds=0.02, context_tokens=5000))
    page = open_page(live).page
    for number, stop in enumerate([lambda: page.get_by_label("Stop the answer").click(),
                                   lambda: page.keyboard.press("Escape")], start=1):  # fmt: skip
        ask(page, "Hi")
        expect(page.locator(".writing .said")).not_to_be_empty()
        stop()
        expect(page.get_by_text("stopped", exact=False)).to_have_count(number)
        until(lambda: live.server.engine.running == 0)
    assert live.model.made < 1000
    expect(page.get_by_label("Message")).to_be_enabled()


def test_settings_reach_the_model(live_of, open_page) -> None:
    live = live_of(FakeModel(says="Hello there!"))
    page = open_page(live).page
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_label("Longest answer").fill("7")
    page.get_by_role("button", name="Done").click()
    ask(page, "Hi")
    expect(page.locator(".assistant .said")).to_have_text("Hello t")
    expect(page.get_by_text("cut off at the longest answer")).to_be_visible()
    assert (live.model.asked[0].temperature, live.model.asked[0].max_tokens) == (0.3, 7)


def test_a_conversation_remembers_until_a_new_one_begins(live_of, open_page) -> None:
    live = live_of(FakeModel(says="Yes.", ends=True))
    page = open_page(live).page
    for message in ("one", "two"):
        ask(page, message)
        expect(page.locator(".writing")).to_have_count(0)
    expect(page.locator(".turn")).to_have_count(4)
    expect(page.get_by_text("of 256 tokens used")).to_have_text("40 of 256 tokens used")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_role("heading", name="Talk to your model")).to_be_visible()


def test_a_conversation_too_long_goes_on_without_its_oldest_turns_when_told_to(live_of, open_page) -> None:
    live = live_of(FakeModel(says="Yes.", ends=True, context_tokens=100))
    page = open_page(live).page
    for message in ("a" * 50, "b" * 60):
        ask(page, message)
        expect(page.locator(".writing")).to_have_count(0)
    expect(page.get_by_role("alert")).to_contain_text("model's context is 100")
    page.get_by_role("button", name="Leave out the oldest turns").click()
    expect(page.locator(".assistant .said")).to_have_count(2)
    expect(page.locator(".left-out")).to_have_count(2)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_server_with_a_key_asks_for_it(live_of, open_page) -> None:
    live = live_of(FakeModel(says="Yes.", ends=True), api_key=KEY)
    page = open_page(live).page
    page.get_by_role("button", name="Enter the key").click()
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="fake")).to_be_visible()
    ask(page, "Hi")
    expect(page.locator(".assistant .said")).to_have_text("Yes.")


def test_a_base_model_goes_on_with_a_text(live_of, open_page) -> None:
    live = live_of(FakeModel(says=" upon a time", ends=True, roles=()))
    page = open_page(live).page
    page.get_by_label("The beginning of a text").fill("Once")
    page.get_by_label("Send").click()
    expect(page.locator(".assistant .said")).to_have_text("Once upon a time")


def test_a_model_that_fails_and_a_server_that_is_gone_are_told(live_of, open_page) -> None:
    live = live_of(FakeModel(), ServeConfig(port=0, drain_seconds=0.1))
    page = open_page(live).page
    ask(page, "FAIL")
    expect(page.get_by_role("alert")).to_contain_text("The model failed on this request")
    page.get_by_role("button", name="New chat").click()
    live.server.should_exit = True
    until(lambda: not live.server.servers[0].is_serving())
    ask(page, "Hi")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_everything_can_be_reached_by_the_keyboard_and_has_a_name(live_of, open_page) -> None:
    page = open_page(live_of(FakeModel())).page
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Send")).to_be_focused()
    for _ in range(4):
        page.keyboard.press("Shift+Tab")
    controls = page.locator("button:visible, input:visible, textarea:visible")
    names = controls.evaluate_all(
        "all => all.map(one => one.ariaLabel || one.textContent.trim() || one.labels?.[0]?.textContent)"
    )
    assert all(names), names
