"""What the inspector says where there is no page: plain HTML that loads nothing."""

from __future__ import annotations

from html import escape

NO_TOKEN = (
    "This page needs the link that was printed when it was started, because it shows everything "
    "that your model was shown. Look in the terminal of anyturn serve --inspector or anyturn "
    "inspect for a line that begins with http:// and has ?token= in it, and open that. The link "
    "is another one after each start."
)


def page_of(words: str) -> str:
    """A page that says this."""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="color-scheme" content="light dark">\n<title>Anyturn inspector</title>\n'
        f"<h1>Anyturn inspector</h1>\n<p>{escape(words)}</p>\n</html>\n"
    )
