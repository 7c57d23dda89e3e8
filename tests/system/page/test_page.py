"""The page as people meet it: on a phone at night, with bad news, with nothing behind it any more."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from refresher.demo.process import free_port
from refresher.model import Result
from refresher.options import Secret
from tests.control.serving import served
from tests.fakes.sidecar import NOW, outcome
from tests.fakes.web import Page as Content
from tests.fakes.web import web_server
from tests.journeys.sidecar import running
from tests.system.page.browser import LAPTOP, PHONE, opened, url
from tests.system.page.conftest import Visit
from tests.system.page.scenes import HOSTILE, REFUSED, SCENES, certificate, failing, polled, sidecar
from tests.waiting import until

Visits = Callable[..., Visit]

CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const colour = rgba(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [low, high] = [light(colour), light(ground(element))].sort((a, b) => a - b);
    found.push([(high + .05) / (low + .05), texts.currentNode.data]);
  }
  return found;
}"""
"""WCAG 2.2, 1.4.3: the contrast of every visible text with what is behind it."""


def states(page: Page) -> list[str]:
    """Each asset with its state, from the top."""
    headers = page.locator("article > header")
    return [f"{header.locator('h2').inner_text()}: {header.locator('p').inner_text()}" for header in headers.all()]


def fits(page: Page) -> bool:
    """Whether nothing is to be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def open_all(page: Page) -> None:
    for summary in page.locator("summary").all():
        summary.click()
    for details in page.locator("article details").all():
        expect(details.locator("dl")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, LAPTOP], ids=["phone", "laptop"])
@pytest.mark.parametrize("scene", SCENES)
def test_it_can_be_read_anywhere_and_asks_nobody_else(visit: Visits, scene: str, viewport: object, scheme: str) -> None:
    seen = visit(scene, viewport=viewport, color_scheme=scheme)
    open_all(seen.page)
    seen.look()
    assert fits(seen.page)
    contrasts = seen.page.evaluate(CONTRASTS)
    assert len(contrasts) > 10
    assert [(ratio, text) for ratio, text in contrasts if ratio < 4.5] == []
    assert seen.complaints == []
    assert {request.url.partition("?")[0] for request in seen.asked if not request.url.startswith("data:")} == {
        seen.origin
    }


def test_dark_is_dark(visit: Visits) -> None:
    grounds = [
        visit("well", color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert grounds == ["rgb(247, 247, 245)", "rgb(18, 18, 17)"]


@pytest.mark.parametrize(
    ("scene", "headline", "first"),
    [
        ("well", "3 assets, all fresh", "web-tls: ✓ fresh"),
        ("failing", "flags: failed", "flags: ! failed"),
        ("expired", "web-tls: expired 2 h ago", "web-tls: ✗ expired 2 h ago · rejected"),
        ("downloading", "2 assets, none in trouble", "fraud-model: … downloading 43 %"),
        ("pinned", "2 assets, none in trouble", "prices: • pinned"),
    ],
)
def test_the_worst_stands_at_the_top_and_in_the_title(visit: Visits, scene: str, headline: str, first: str) -> None:
    page = visit(scene).page
    assert page.locator("h1").inner_text().split(" ", 1)[1] == headline
    assert headline in page.title()
    assert states(page)[0] == first


def test_an_error_is_shown_and_so_is_how_it_came_to_that(visit: Visits) -> None:
    page = visit("expired").page
    web = page.locator("#asset-web-tls")
    expect(web.locator(".said")).to_contain_text(f"rejected: {REFUSED}")
    assert "in 40 s, to try again" in web.inner_text()
    assert "and 6 failed attempts since" in web.inner_text()
    web.locator("summary").click()
    ended = [item.inner_text().split("\n")[0] for item in web.locator("ol li b").all()]
    assert ended == ["rejected, in 2 s"] * 6 + ["published generation 7, 4.1 kB in 2 s"]


def test_a_life_is_a_line_with_now_and_the_next_refresh_where_they_belong(visit: Visits) -> None:
    page = visit("well").page
    line = page.locator("#asset-web-tls svg")
    places = {kind: line.locator(f"line.{kind}").get_attribute("x1") for kind in ("now", "next")}
    assert places == {"now": "37.50%", "next": "62.50%"}
    expected = "Published 9 h ago, expires in 15 h; next refresh in 6 h, to renew it."
    assert line.get_attribute("aria-label") == expected
    assert page.locator("#asset-flags svg").count() == 0


def test_times_are_the_readers_and_utc_where_one_hovers(visit: Visits) -> None:
    expires = visit("well").page.locator("#asset-web-tls .ends time").last
    assert expires.inner_text() == "23 Nov 2026, 05:30"
    assert expires.get_attribute("title") == "2026-11-23 00:00:00 UTC"


def test_what_a_source_wrote_stays_a_text(visit: Visits) -> None:
    seen = visit("hostile")
    open_all(seen.page)
    seen.look()
    shown = seen.page.locator(".said bdi").first.text_content()
    assert shown == "".join(letter if letter.isprintable() else " " for letter in HOSTILE)
    assert seen.page.locator("img, main script, main style").count() == 0
    assert seen.page.title() == "! 2 of 2 assets need attention · refresher"
    assert seen.complaints == []


def test_the_browser_lets_nothing_else_run_and_makes_no_tags_of_texts(visit: Visits) -> None:
    page = visit("well").page
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>a tag</b>'")
    page.evaluate("""() => { const script = document.createElement("script");
      try { script.textContent = "document.title = 'ran'"; document.body.append(script); } catch {} }""")
    assert "ran" not in page.title()
    reached = page.evaluate("fetch('http://localhost:1/').then(() => 'sent', (error) => String(error))")
    assert "Failed to fetch" in reached
    assert any("Content Security Policy" in text for text in complaints_of(page))


def complaints_of(page: Page) -> list[str]:
    """What the browser says while somebody tries to load a picture from elsewhere."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    with page.expect_console_message():
        page.evaluate("new Image().src = 'http://localhost:1/x.png'")
    return said


def test_what_changes_is_shown_by_itself_without_anything_else_moving(visit: Visits) -> None:
    seen = visit("well")
    page = seen.page
    web = page.locator("#asset-web-tls")
    web.locator("summary").click()
    page.locator("#asset-flags button").focus()
    page.evaluate("document.querySelectorAll('article').forEach((article) => { article.kept = true; })")
    seen.sidecar.states["flags"] = failing(NOW)
    expect(page.locator("#asset-flags .said")).to_contain_text("connection refused")
    assert [state.split(":")[0] for state in states(page)] == ["flags", "web-tls", "fraud-model"]
    assert page.evaluate("[...document.querySelectorAll('article')].every((article) => article.kept)")
    assert web.locator("details").get_attribute("open") == ""
    assert page.evaluate("document.activeElement.dataset.asset") == "flags"
    assert page.title().startswith("! flags: failed")


def test_an_asset_less_and_one_more_are_shown(visit: Visits) -> None:
    seen = visit("well")
    del seen.sidecar.states["flags"]
    seen.sidecar.states["new"] = polled(NOW, "new")
    seen.look()
    expect(seen.page.locator("#asset-new")).to_be_visible()
    expect(seen.page.locator("#asset-flags")).to_have_count(0)


def test_the_button_refreshes_and_says_how_it_ended(visit: Visits) -> None:
    seen = visit("failing")
    flags = seen.page.locator("#asset-flags")
    flags.get_by_role("button", name="Refresh flags now").click()
    expect(flags.get_by_role("status")).to_have_text("Asked; waiting for how it ends …")
    flags.get_by_role("button").dispatch_event("click")
    seen.look()
    until(lambda: "flags" in seen.sidecar.running)
    seen.sidecar.states["flags"] = polled(NOW, "flags")
    seen.sidecar.running["flags"].visible.set_result(outcome("flags"))
    expect(flags.get_by_role("status")).to_have_text("published")
    expect(flags.locator("header p")).to_have_text("✓ fresh")
    assert seen.sidecar.asked == 1
    assert seen.complaints == []


def test_a_refresh_that_fails_says_why(visit: Visits) -> None:
    seen = visit("failing")
    seen.sidecar.ends["flags"] = outcome("flags", Result.FAILED, error="still away")
    seen.page.locator("#asset-flags button").click()
    expect(seen.page.locator("#asset-flags").get_by_role("status")).to_have_text("failed: still away")


def test_it_works_with_the_keyboard_alone(visit: Visits) -> None:
    seen = visit("failing")
    seen.page.keyboard.press("Tab")
    seen.sidecar.ends["flags"] = outcome("flags", Result.UNCHANGED)
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#asset-flags").get_by_role("status")).to_have_text("unchanged")
    assert seen.page.evaluate("document.activeElement.dataset.asset") == "flags"
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#asset-flags details")).to_have_attribute("open", "")


@pytest.fixture
def guarded(visit: Visits, tmp_path: Path) -> Visit:
    """A page whose sidecar wants a token for a refresh."""
    (tmp_path / "token").write_text("s3cr3t-token\n")
    return visit("failing", {"token": Secret(file=tmp_path / "token")})


def give(page: Page, token: str) -> None:
    page.locator("#asset-flags button").click()
    page.get_by_role("textbox", name="Token").fill(token)
    page.get_by_role("dialog").get_by_role("button", name="Refresh").click()


def test_a_token_is_asked_for_once_and_kept_nowhere(guarded: Visit) -> None:
    page = guarded.page
    guarded.sidecar.ends["flags"] = outcome("flags", Result.UNCHANGED)
    give(page, "s3cr3t-token")
    answer = page.locator("#asset-flags").get_by_role("status")
    expect(answer).to_have_text("unchanged")
    page.locator("#asset-web-tls button").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("JSON.stringify([localStorage.length, sessionStorage.length, document.cookie])") == '[0,0,""]'
    assert "s3cr3t-token" not in page.content() + page.locator("dialog input").input_value()
    page.reload()
    page.locator("#asset-flags button").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_wrong_token_is_forgotten_and_asked_for_again(guarded: Visit) -> None:
    give(guarded.page, "wrong")
    answer = guarded.page.locator("#asset-flags").get_by_role("status")
    expect(answer).to_contain_text("Not done: this needs")
    guarded.sidecar.ends["flags"] = outcome("flags", Result.UNCHANGED)
    give(guarded.page, "s3cr3t-token")
    expect(answer).to_have_text("unchanged")


def test_whoever_gives_no_token_asks_nothing(guarded: Visit) -> None:
    guarded.page.locator("#asset-flags button").click()
    guarded.page.keyboard.press("Escape")
    expect(guarded.page.get_by_role("dialog")).to_be_hidden()
    guarded.page.locator("#asset-flags button").click()
    guarded.page.get_by_role("button", name="Cancel").click()
    expect(guarded.page.get_by_role("dialog")).to_be_hidden()
    assert guarded.sidecar.asked == 0


def test_a_sidecar_that_answers_no_more_is_said_and_so_is_its_return(browser: Browser) -> None:
    shown, listen = sidecar("well", now=NOW), f"127.0.0.1:{free_port()}"
    with served(shown, listen=listen) as server, opened(browser, url(server)) as page:
        server.stop()
        alarm = page.get_by_role("alert")
        expect(alarm).to_have_text("The sidecar has not answered since 14:30:00. Below is how it stood then.")
        assert states(page)[0] == "web-tls: ✓ fresh"
        shown.states["web-tls"] = replace(certificate(NOW), pinned=True)
        with served(shown, listen=listen):
            expect(page.locator("#asset-web-tls header p")).to_have_text("• pinned")
            expect(alarm).to_be_hidden()


def test_a_token_that_only_the_next_sidecar_wants_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cr3t-token\n")
    shown, listen = sidecar("failing", now=NOW), f"127.0.0.1:{free_port()}"
    shown.ends["flags"] = outcome("flags", Result.UNCHANGED)
    with served(shown, listen=listen) as server, opened(browser, url(server)) as page:
        server.stop()
        with served(shown, listen=listen, token=Secret(file=tmp_path / "token")):
            page.locator("#asset-flags button").click()
            answer = page.locator("#asset-flags").get_by_role("status")
            expect(answer).to_contain_text("Not done: this needs")
            give(page, "s3cr3t-token")
            expect(answer).to_have_text("unchanged")


def test_without_javascript_everything_can_be_read(visit: Visits) -> None:
    page = visit("expired", java_script_enabled=False, viewport=PHONE).page
    assert states(page)[0] == "web-tls: ✗ expired 2 h ago · rejected"
    assert page.locator("noscript p").bounding_box()
    assert fits(page)
    expect(page.locator("article button").first).to_be_hidden()
    page.locator("#asset-web-tls summary").click()
    expect(page.locator("#asset-web-tls ol")).to_contain_text(REFUSED)
    assert "2026-11-22 07:00:00 UTC" in page.locator("#asset-web-tls .ends").inner_text()


def test_a_real_sidecar_is_refreshed_from_its_page(browser: Browser, tmp_path: Path) -> None:
    with web_server() as server:
        server.respond = Content(b"{}", etag='"1"')
        flags = {"source": f"{server.url}/flags.json", "refresh": {"every": 0}}
        with (
            running(tmp_path, {"assets": {"flags": flags, "gone": {"source": "file:///nowhere"}}}) as beside,
            opened(browser, f"http://localhost:{beside.port}/", timezone_id="UTC") as page,
        ):
            expect(page.locator("#asset-gone")).to_contain_text("nothing published yet")
            expect(page.locator("#asset-flags header p")).to_have_text("✓ fresh")
            # Not a file's change, which would be seen before anybody has clicked.
            server.respond = Content(b'{"dark": true}', etag='"2"')
            page.locator("#asset-flags button").click()
            expect(page.locator("#asset-flags").get_by_role("status")).to_have_text("published")
            page.locator("#asset-flags summary").click()
            expect(page.locator("#asset-flags ol")).to_contain_text("published generation 2")
