"""What a person must find on the status page, and what keyboards and screen readers need, in the browser's own DOM."""

import re
import sys
from html.parser import HTMLParser


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.stack = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), tuple(self.stack)))
        if tag not in ("meta", "br", "link"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "title"} & set(self.stack):
            self.text.append(data)

    def all(self, tag):
        return [(attrs, within) for name, attrs, within in self.tags if name == tag]


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


source = open(sys.argv[1], encoding="utf-8").read()
page = Page()
page.feed(source)
text = " ".join(" ".join(page.text).split())

# What a person looks for.
for needle in [
    "It takes new sessions.", "Targets", "prod/analytics", "prod/adhoc", "127.0.0.1:", "your own processes",
    "Open sessions", "IAM:alice", "nightly <script>report</script>", "Since (UTC)", "To client",
    "Good for", "Next refresh", "AWS calls made for them", "AWS calls saved", "Recent failures", "3D000",
]:
    assert needle in text, f"{needle!r} is not on the page: {text}"

# Who it is for, and what it is.
assert page.all("html")[0][0].get("lang") == "en" and "<title>shiftkey proxy</title>" in source
assert len(page.all("h1")) == 1 and [len(page.all(tag)) for tag in ("header", "main", "footer", "nav")] == [1, 1, 1, 1]
assert page.all("nav")[0][0].get("aria-label")
# No script, and nothing from elsewhere.
assert not page.all("script") and not page.all("link") and not page.all("img") and "@import" not in source and "url(" not in source
# Headings in order, each over a section.
levels = [int(tag[1]) for tag, _, _ in page.tags if re.fullmatch("h[1-6]", tag)]
assert levels == [1] + [2] * (len(levels) - 1), levels
assert len(page.all("section")) == 4 == levels.count(2)
# Tables: a caption, a scope for every heading, a region that a keyboard reaches and that has a name.
assert len(page.all("table")) == len(page.all("caption")) == 4
assert all(attrs.get("scope") in ("col", "row") for attrs, _ in page.all("th"))
regions = [attrs for attrs, _ in page.all("div") if "tabindex" in attrs]
assert len(regions) == 4 and all(region["tabindex"] == "0" and region["role"] == "group" and region["aria-label"] for region in regions)
assert all(attrs.get("href") for attrs, _ in page.all("a")) and "focus-visible" in source
# Contrast of WCAG 2.2, level AA, in both schemes.
schemes = [dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", rule)) for rule in re.findall(r":root\{([^}]*)\}", source)]
assert len(schemes) == 2 and "prefers-color-scheme:dark" in source
for scheme in schemes:
    for ink in ("text", "quiet", "link", "good", "bad"):
        for paper in ("ground", "card"):
            ratio = contrast(scheme[ink], scheme[paper])
            assert ratio >= 4.5, f"{ink} on {paper}: {ratio:.2f}"
print(f"ok: the status page, {len(page.all('th'))} headings")
