"""Reading a page as a browser would, and text that tries to break out of one."""

from html.parser import HTMLParser

HOSTILE = "</script></style></pre><img src=x onerror=alert(1)>\"'`&lt;<!--\u202e\x00\ud800"


class Page(HTMLParser):
    """The elements, their attributes, and the text inside each kind of element."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], {}, []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts[tag] = self.texts.get(tag, "") + data

    @property
    def text(self):
        return self.texts["main"].replace("\u00a0", " ")

    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]
