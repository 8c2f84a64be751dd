"""A stock Moonlight client for lumen's tests: the genuine moonlight-common-c, as PyPI's moonlight-python carries it.

Prints one JSON object. Ends with 0, or with 1 and {"error": why} where it did not get what it wanted.
Of the package it uses the shared library, the C declarations of its functions, and pairing and HTTP, because they are how
this peer behaves. The package's own __init__ is not run, because it wants video decoders.
"""

import argparse
import ast
import importlib.util
import json
import os
import signal
import socket
import struct
import sys
import urllib.request
import threading
import time
import types
from pathlib import Path

import cffi
from hands import CALLS, Hands

PACKAGE = "moonlight_python"
# What moonlight-common-c calls its choices.
PULL_RENDERER = 0x20
INVALIDATES_REFERENCES = 0x02
DIRECT_SUBMIT = 0x01
H264 = 0x0001
SLOW_OPUS_DECODER = 0x08
# Which speakers so many channels are for.
SPEAKERS = {2: 0x3, 6: 0x3F, 8: 0x63F}
SEALED = {"all": -1, "none": 0}
COLORS = {"bt601": 0, "bt709": 1}
LOCAL = 0
ATTACH_FILTER = 26
# How far a host's port of sound is from that of HTTP.
SOUND_PORT = 11
TAKEN = 0
IDR = 1
SOUND_STATS = """
typedef struct { uint32_t packets, parity, recovered, failed, out_of_order, invalid, invalid_parity; } SOUND_STATS;
const SOUND_STATS* LiGetRTPAudioStats(void);
"""
# For as long as a person may take to type a PIN, and a desktop to start.
PATIENCE_S = 60


def package():
    """The package's folder; from then on its modules can be imported one by one."""
    folder = importlib.util.find_spec(PACKAGE).submodule_search_locations[0]
    module = types.ModuleType(PACKAGE)
    module.__path__ = [folder]
    sys.modules[PACKAGE] = module
    return Path(folder)


def declarations(folder):
    """The C declarations, read from the module that has them without running it."""
    for node in ast.parse((folder / "stream.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "CDEF":
            return ast.literal_eval(node.value)
    raise LookupError(f"{folder} declares no functions of moonlight-common-c")


class Host:
    """The host's HTTP, as one identity speaks it. What pairing pinned lies beside the identity."""

    def __init__(self, options):
        from moonlight_python.http_client import NvHTTP
        from moonlight_python.identity import Identity

        self.identity = Identity(options.identity)
        self.pin_file = Path(options.identity) / "host.pem"
        pinned = self.pin_file.read_bytes() if self.pin_file.exists() else b""
        self.http = NvHTTP(options.host, self.identity, http_port=options.http, server_cert_pem=pinned)
        self.info = self.http.parse_server_info(self.http.get_server_info())

    def ask(self, verb, query=None):
        """The XML of an answer over TLS; raises what its root says went wrong."""
        answer = self.http.open_https(verb, query, timeout=PATIENCE_S)
        self.http.verify_response_status(answer)
        return answer

    def pair(self, pin, last_before=None):
        """Pairs; says the last phase also right before the phase `last_before`, if there is one."""
        from moonlight_python.pairing import pair

        if last_before:
            self.http.open_http = self.out_of_order(last_before)
        pinned = pair(self.http, self.identity, pin, self.info, timeout=PATIENCE_S)
        self.pin_file.write_bytes(pinned)
        return {"paired": True}

    def out_of_order(self, phase):
        from moonlight_python.http_client import NvHTTP
        from moonlight_python.pairing import _sign_data

        def ask(verb, query=None, **more):
            if f"{phase}=" in (query or ""):
                secret = os.urandom(16)
                last = (secret + _sign_data(self.identity, secret)).hex()
                NvHTTP.open_http(self.http, "pair", f"devicename=roth&updateState=1&clientpairingsecret={last}")
            return NvHTTP.open_http(self.http, verb, query, **more)

        return ask

    def apps(self):
        return {"apps": [{"id": app.id, "name": app.name} for app in self.http.get_app_list()]}

    def art(self, app):
        """The picture of an app, as the text that its bytes are in Latin-1."""
        where = self.http._build_url(self.http.base_url_https, "appasset", f"appid={app}&AssetType=2&AssetIdx=0")
        with urllib.request.urlopen(where, context=self.http._make_ssl_context(), timeout=PATIENCE_S) as answer:
            return {"png": answer.read().decode("latin-1")}

    def state(self):
        info = self.http.parse_server_info(self.ask("serverinfo"))
        return {"paired": info.paired, "state": info.state, "app": info.current_game}

    def cancel(self):
        self.ask("cancel")
        return {"cancelled": True}

    def begin(self, options, key, key_id):
        """Launches or resumes; where RTSP is."""
        width, height, rate = options.mode
        query = {
            "appid": options.app, "mode": f"{width}x{height}x{rate}", "additionalStates": 1, "sops": 0,
            "rikey": key.hex(), "rikeyid": key_id, "localAudioPlayMode": 0,
            "surroundAudioInfo": SPEAKERS[options.channels] << 16 | options.channels,
            "remoteControllersBitmap": 0, "gcmap": 0, "corever": 1,
        }
        answer = self.ask(options.verb, "&".join(f"{name}={value}" for name, value in query.items()))
        return self.http.get_xml_string(answer, "sessionUrl0")


class Stream:
    """One connection of moonlight-common-c, which has room for one a process."""

    def __init__(self, folder, options):
        self.options = options
        self.ffi = cffi.FFI()
        # One of the calls is declared in both.
        self.ffi.cdef(declarations(folder) + SOUND_STATS + CALLS, override=True)
        self.lib = self.ffi.dlopen(str(folder / "libmoonlight-common-c.so"))
        self.over = threading.Event()
        self.said = {"started": 0, "terminated": None, "failed": None, "poor": 0}
        self.frames = 0
        self.last = None
        self.log = open(options.frames_log, "w", buffering=1)
        self.dump = open(options.dump, "wb", buffering=0) if options.dump else None
        self.sound = open(options.sound, "wb", buffering=0) if options.sound else None
        self.opus = None
        self.kept = []
        self.hands = Hands(self.lib, options.script) if options.script else None

    def keep(self, value):
        """What C holds a pointer to must not be collected."""
        self.kept.append(value)
        return value

    def struct(self, kind, initialise):
        value = self.keep(self.ffi.new(f"{kind}*"))
        initialise(value)
        return value

    def text(self, text):
        return self.keep(self.ffi.new("char[]", text.encode()))

    def listener(self):
        listener = self.struct("CONNECTION_LISTENER_CALLBACKS", self.lib.LiInitializeConnectionCallbacks)

        def failed(stage, code):
            name = self.ffi.string(self.lib.LiGetStageName(stage)).decode()
            self.said["failed"] = {"stage": name, "code": code}

        def started():
            self.said["started"] += 1

        def terminated(code):
            self.said["terminated"] = code
            self.over.set()

        def status(poor):
            self.said["poor"] += poor

        listener.stageFailed = self.keep(self.ffi.callback("void(int, int)", failed))
        listener.connectionStarted = self.keep(self.ffi.callback("void()", started))
        listener.connectionTerminated = self.keep(self.ffi.callback("void(int)", terminated))
        listener.connectionStatusUpdate = self.keep(self.ffi.callback("void(int)", status))
        return listener

    def listen(self):
        """What takes sound: the file gets how it is to be decoded, then each packet with its time; one of length 0 is lost."""
        audio = self.struct("AUDIO_RENDERER_CALLBACKS", self.lib.LiInitializeAudioCallbacks)
        audio.capabilities = DIRECT_SUBMIT | (SLOW_OPUS_DECODER if self.options.slow_opus else 0)
        if not self.sound:
            return audio

        def init(_wanted, opus, _context, _flags):
            self.opus = {"channels": opus.channelCount, "streams": opus.streams, "coupled": opus.coupledStreams,
                         "samples": opus.samplesPerFrame, "mapping": list(opus.mapping[0:opus.channelCount])}
            layout = (opus.channelCount, opus.streams, opus.coupledStreams, *self.opus["mapping"])
            self.sound.write(bytes(layout))
            return 0

        def play(data, length):
            packet = bytes(self.ffi.buffer(data, length)) if length > 0 else b""
            self.sound.write(struct.pack("<QH", time.monotonic_ns(), len(packet)) + packet)

        opus_type = "int(int, OPUS_MULTISTREAM_CONFIGURATION*, void*, int)"
        audio.init = self.keep(self.ffi.callback(opus_type, init))
        for name in ("start", "stop", "cleanup"):
            setattr(audio, name, self.keep(self.ffi.callback("void(void)", lambda: None)))
        audio.decodeAndPlaySample = self.keep(self.ffi.callback("void(char*, int)", play))
        return audio

    def lose(self, port, share):
        """Lets the kernel drop that share of what this process gets from a UDP port: a filter on each of its sockets."""
        # Other than from that port, or by a random number beyond the share: taken.
        code = self.keep(self.ffi.new("char[]", b"".join(struct.pack("=HBBI", *line) for line in (
            (0x28, 0, 0, 0), (0x15, 0, 3, port), (0x20, 0, 0, 0xfffff038), (0x35, 1, 0, int(share * 2**32)),
            (0x06, 0, 0, 0), (0x06, 0, 0, 0xffffffff)))))
        program = struct.pack("HxxxxxxQ", 6, int(self.ffi.cast("uintptr_t", code)))
        for fd in os.listdir("/proc/self/fd"):
            try:
                own = socket.socket(fileno=os.dup(int(fd)))
            except OSError:
                continue
            with own:
                if own.type == socket.SOCK_DGRAM:
                    own.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, program)

    def heard(self):
        stats = self.lib.LiGetRTPAudioStats()
        names = ("packets", "parity", "recovered", "failed", "invalid", "invalid_parity")
        return {"opus": self.opus, **{name: getattr(stats, name) for name in names}}

    def configuration(self, key, key_id):
        options = self.options
        wanted = self.struct("STREAM_CONFIGURATION", self.lib.LiInitializeStreamConfiguration)
        wanted.width, wanted.height, wanted.fps = options.mode
        wanted.clientRefreshRateX100 = options.refresh_x100 or 100 * wanted.fps
        wanted.bitrate = options.bitrate_kbps
        wanted.packetSize = options.packet
        wanted.streamingRemotely = LOCAL
        wanted.audioConfiguration = SPEAKERS[options.channels] << 16 | options.channels << 8 | 0xCA
        wanted.supportedVideoFormats = H264
        wanted.encryptionFlags = SEALED[options.seal]
        wanted.colorSpace = COLORS[options.colors]
        self.ffi.memmove(wanted.remoteInputAesKey, key, len(key))
        self.ffi.memmove(wanted.remoteInputAesIv, key_id.to_bytes(4, "big") + bytes(12), 16)
        return wanted

    def connect(self, info, url, key, key_id):
        server = self.struct("SERVER_INFORMATION", self.lib.LiInitializeServerInformation)
        server.address = self.text(self.options.stream_at or info.address)
        server.serverInfoAppVersion = self.text(info.app_version)
        server.serverInfoGfeVersion = self.text(info.gfe_version)
        server.rtspSessionUrl = self.text(url)
        server.serverCodecModeSupport = info.server_codec_mode_support
        video = self.struct("DECODER_RENDERER_CALLBACKS", self.lib.LiInitializeVideoCallbacks)
        video.capabilities = PULL_RENDERER | (INVALIDATES_REFERENCES if self.options.references else 0)
        audio = self.listen()
        null = self.ffi.NULL
        code = self.lib.LiStartConnection(
            server, self.configuration(key, key_id), self.listener(), video, audio, null, 0, null, 0)
        if code != 0:
            raise ConnectionError(f"LiStartConnection: {code}, {self.said['failed']}")

    def watch(self):
        """Takes every frame until the stream is over."""
        handle, unit = self.ffi.new("VIDEO_FRAME_HANDLE*"), self.ffi.new("DECODE_UNIT**")
        while not self.over.is_set():
            if self.lib.LiWaitForNextVideoFrame(handle, unit):
                self.take(unit[0])
                self.lib.LiCompleteVideoFrame(handle[0], TAKEN)

    def take(self, unit):
        received_ns = time.monotonic_ns()
        if self.dump:
            part = unit.bufferList
            while part != self.ffi.NULL:
                self.dump.write(self.ffi.buffer(part.data, part.length))
                part = part.next
        self.frames += 1
        self.last = unit.frameNumber
        each = self.options.idr_each
        asks = bool(each) and self.frames % each == 0
        if asks:
            self.lib.LiRequestIdrFrame()
        # The wire's number has no sign, the client's declaration of it has.
        frame = {"number": unit.frameNumber & 0xFFFFFFFF, "idr": unit.frameType == IDR, "bytes": unit.fullLength,
                 "received_ns": received_ns, "asks_idr": asks, "rtp": unit.rtpTimestamp,
                 "host_us": 100 * unit.frameHostProcessingLatency}
        print(json.dumps(frame), file=self.log)

    def play(self):
        """Watches for as long as asked, or until a signal or the host ends it."""
        watcher = threading.Thread(target=self.watch)
        watcher.start()
        person = threading.Thread(target=self.hands.play, args=[self.over]) if self.hands else None
        if person:
            person.start()
        is_ended = self.over.wait(self.options.seconds)
        self.over.set()
        while watcher.is_alive():
            self.lib.LiWakeWaitForVideoFrame()
            watcher.join(0.05)
        if person:
            person.join()
        heard = self.heard() if self.sound else None
        self.lib.LiStopConnection()
        return {**self.said, "hands": self.hands.refused if self.hands else None, "sound": heard,
                "in_time": not is_ended, "frames": self.frames, "last": self.last}


def stream(host, folder, options):
    key, key_id = os.urandom(16), int.from_bytes(os.urandom(3), "big")
    connection = Stream(folder, options)
    # From before the launch on, because it may be asked to end at any time.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: connection.over.set())
    asked_ns = time.monotonic_ns()
    url = host.begin(options, key, key_id)
    answered_ns = time.monotonic_ns()
    connection.connect(host.info, url, key, key_id)
    connected_ns = time.monotonic_ns()
    if options.lose_sound:
        connection.lose(options.http + SOUND_PORT, options.lose_sound)
    return {**connection.play(), "asked_ns": asked_ns, "answered_ns": answered_ns, "connected_ns": connected_ns}


def mode(text):
    width, height, rate = (int(number) for number in text.split("x"))
    return width, height, rate


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identity", required=True, help="folder of the client's key and certificate")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--http", type=int, default=47989, help="the host's TCP port")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("state")
    pairs = verbs.add_parser("pair")
    pairs.add_argument("pin")
    pairs.add_argument("--last-before", help="a phase before which the last one is said, too")
    verbs.add_parser("apps")
    verbs.add_parser("cancel")
    verbs.add_parser("art").add_argument("app", type=int)
    for verb in ("launch", "resume"):
        parser_of = verbs.add_parser(verb)
        parser_of.add_argument("--app", type=int, default=1)
        parser_of.add_argument("--mode", type=mode, default="1280x720x60", help="WIDTHxHEIGHTxRATE")
        parser_of.add_argument("--refresh-x100", type=int, default=0, help="where it is not the rate of the mode")
        parser_of.add_argument("--bitrate-kbps", type=int, default=10000)
        parser_of.add_argument("--packet", type=int, default=1392)
        parser_of.add_argument("--seal", choices=SEALED, default="all")
        parser_of.add_argument("--colors", choices=COLORS, default="bt601")
        parser_of.add_argument("--seconds", type=float, required=True)
        parser_of.add_argument("--idr-each", type=int, default=0, help="ask for an IDR after so many frames")
        parser_of.add_argument("--references", action="store_true",
                               help="say which frames are lost, and go on with one that refers to none of them")
        parser_of.add_argument("--stream-at", help="the host's address for all but HTTP")
        parser_of.add_argument("--frames-log", required=True, help="one JSON object a frame")
        parser_of.add_argument("--dump", help="the H.264 that a decoder would get")
        parser_of.add_argument("--lose-sound", type=float, help="share of the datagrams with sound")
        parser_of.add_argument("--script", help="what a person does, from the connection on; - reads along")
        parser_of.add_argument("--sound", help="the Opus that a decoder would get: channels, streams, coupled streams and "
                                               "their mapping, a byte each; then packets: time u64, length u16, packet")
        parser_of.add_argument("--channels", type=int, choices=SPEAKERS, default=2)
        parser_of.add_argument("--slow-opus", action="store_true", help="wants 10 ms in a packet, of normal quality")
    return parser.parse_args()


def main():
    options = arguments()
    folder = package()
    verbs = {
        "state": Host.state, "apps": Host.apps, "cancel": Host.cancel,
        "art": lambda host: host.art(options.app),
        "pair": lambda host: host.pair(options.pin, options.last_before),
        "launch": lambda host: stream(host, folder, options),
        "resume": lambda host: stream(host, folder, options),
    }
    try:
        print(json.dumps(verbs[options.verb](Host(options))))
    except Exception as error:  # Whatever the peer raises is what the test wants to read.
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
