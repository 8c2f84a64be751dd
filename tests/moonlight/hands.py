"""What a person does at this client, by moonlight-common-c's own calls, from lines like `1500 key 0x41 down`."""

import sys
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
int LiSendTouchEvent(uint8_t eventType, uint32_t pointerId, float x, float y, float pressureOrDistance,
                     float contactAreaMajor, float contactAreaMinor, uint16_t rotation);
"""
WAYS = {"down": {"key": 3, "button": 7}, "up": {"key": 4, "button": 8}}
TOUCHES = {"down": 1, "up": 2, "move": 3, "cancel": 4}
UNKNOWN_ROTATION = 0xFFFF
# The code is by what the key types, and not by its place on a US keyboard.
BY_MEANING = 1


class Hands:
    """Plays one file at its times, or with the path `-` each line of the standard input, so many milliseconds after the one before or
    after it came; `text TEXT`, `bytes HEX` (text, whatever it is), `key VK down|up`, `meant VK down|up`, `button NUMBER down|up`,
    `move DX DY`, `to X Y WIDTH HEIGHT`, `scroll`, `hscroll` CLICKS, `finescroll`, `finehscroll` 1/120 of one, and
    `touch FINGER down|move|up|cancel X Y` (parts of the picture), and `flood SECONDS` (taps of one key)."""

    def __init__(self, lib, path):
        self.lib = lib
        self.is_live = path == "-"
        self.lines = sys.stdin if self.is_live else Path(path).read_text().splitlines()
        # Verb and code of each call that the library refused.
        self.refused = []

    def play(self, over):
        """Does everything at its time from now on, until `over` is set."""
        began = time.monotonic()
        for line in self.lines:
            at, verb, rest = line.rstrip("\n").split(" ", 2)
            if self.is_live:
                began = time.monotonic()
            if over.wait(max(0.0, began + int(at) / 1000 - time.monotonic())):
                return
            code = self.call(verb, rest)
            if code != 0:
                self.refused.append([verb, code])

    def call(self, verb, rest):
        if verb in ("text", "bytes"):
            text = rest.encode() if verb == "text" else bytes.fromhex(rest)
            return self.lib.LiSendUtf8TextEvent(text, len(text))
        if verb == "flood":
            return self.flood(int(rest))
        words = rest.split()
        if verb in ("key", "meant"):
            flags = BY_MEANING if verb == "meant" else 0
            # Clients set the highest bit of a code.
            code = (int(words[0], 0) | 0x8000) - 0x10000
            return self.lib.LiSendKeyboardEvent2(code, bytes([WAYS[words[1]]["key"]]), b"\0", flags)
        if verb == "button":
            return self.lib.LiSendMouseButtonEvent(bytes([WAYS[words[1]]["button"]]), int(words[0]))
        if verb == "touch":
            x, y = float(words[2]), float(words[3])
            return self.lib.LiSendTouchEvent(TOUCHES[words[1]], int(words[0]), x, y, 1.0, 0.0, 0.0, UNKNOWN_ROTATION)
        calls = {
            "move": self.lib.LiSendMouseMoveEvent, "to": self.lib.LiSendMousePositionEvent,
            "scroll": self.lib.LiSendScrollEvent, "hscroll": self.lib.LiSendHScrollEvent,
            "finescroll": self.lib.LiSendHighResScrollEvent, "finehscroll": self.lib.LiSendHighResHScrollEvent,
        }
        return calls[verb](*(int(word) for word in words))

    def flood(self, seconds):
        """Taps a key and moves the pointer, as fast as the library takes it: it refuses while much of it waits."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for act in ("0x42 down", "0x42 up"):
                while self.call("key", act) != 0:
                    time.sleep(0.001)
            self.call("move", "1 1")
        return 0
