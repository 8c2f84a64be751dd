"""What a person does at this client, by moonlight-common-c's own calls, from a file of lines like `1500 key 0x41 down`."""

import time
from pathlib import Path

CALLS = """
int LiSendMouseMoveEvent(short deltaX, short deltaY);
int LiSendMousePositionEvent(short x, short y, short referenceWidth, short referenceHeight);
int LiSendMouseButtonEvent(char action, int button);
int LiSendKeyboardEvent2(short keyCode, char keyAction, char modifiers, uint8_t flags);
int LiSendUtf8TextEvent(const char* text, unsigned int length);
int LiSendScrollEvent(signed char scrollClicks);
int LiSendHighResScrollEvent(short scrollAmount);
int LiSendHScrollEvent(signed char scrollClicks);
int LiSendHighResHScrollEvent(short scrollAmount);
"""
WAYS = {"down": {"key": 3, "button": 7}, "up": {"key": 4, "button": 8}}
# The code is by what the key types, and not by its place on a US keyboard.
BY_MEANING = 1


class Hands:
    """Plays one file; `text TEXT`, `key VK down|up`, `meant VK down|up`, `button NUMBER down|up`, `move DX DY`,
    `to X Y WIDTH HEIGHT`, and `scroll`, `hscroll` CLICKS or `finescroll`, `finehscroll` 1/120 of one."""

    def __init__(self, lib, path):
        self.lib = lib
        lines = (line.split(" ", 2) for line in Path(path).read_text().splitlines())
        self.acts = [(int(at) / 1000, verb, rest) for at, verb, rest in lines]
        # Verb and code of each call that the library refused.
        self.refused = []

    def play(self, over):
        """Does everything at its time from now on, until `over` is set."""
        began = time.monotonic()
        for at, verb, rest in self.acts:
            if over.wait(max(0.0, began + at - time.monotonic())):
                return
            code = self.call(verb, rest)
            if code != 0:
                self.refused.append([verb, code])

    def call(self, verb, rest):
        if verb == "text":
            return self.lib.LiSendUtf8TextEvent(rest.encode(), len(rest.encode()))
        words = rest.split()
        if verb in ("key", "meant"):
            flags = BY_MEANING if verb == "meant" else 0
            # Clients set the highest bit of a code.
            code = int(words[0], 0) - 0x8000
            return self.lib.LiSendKeyboardEvent2(code, bytes([WAYS[words[1]]["key"]]), b"\0", flags)
        if verb == "button":
            return self.lib.LiSendMouseButtonEvent(bytes([WAYS[words[1]]["button"]]), int(words[0]))
        calls = {
            "move": self.lib.LiSendMouseMoveEvent, "to": self.lib.LiSendMousePositionEvent,
            "scroll": self.lib.LiSendScrollEvent, "hscroll": self.lib.LiSendHScrollEvent,
            "finescroll": self.lib.LiSendHighResScrollEvent, "finehscroll": self.lib.LiSendHighResHScrollEvent,
        }
        return calls[verb](*(int(word) for word in words))
