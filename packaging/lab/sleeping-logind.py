#!/usr/bin/env python3
"""Plays logind where nothing can sleep: gives locks, says PrepareForSleep, and tells whether the delay locks were let go.

Beside logind's own interface it has org.lumen.Lab, whose Sleep(b) is what a person would do with a lid.
"""

import os
import select
import time

from gi.repository import Gio, GLib

NAME, PATH, MANAGER = "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
XML = f"""<node>
<interface name="{MANAGER}">
<method name="Inhibit">
<arg name="what" type="s" direction="in"/><arg name="who" type="s" direction="in"/>
<arg name="why" type="s" direction="in"/><arg name="mode" type="s" direction="in"/>
<arg name="pipe_fd" type="h" direction="out"/>
</method>
<signal name="PrepareForSleep"><arg name="start" type="b"/></signal>
</interface>
<interface name="org.lumen.Lab">
<method name="Sleep"><arg name="sleeps" type="b" direction="in"/><arg name="asked" type="b" direction="out"/></method>
</interface>
</node>"""
# As logind's InhibitDelayMaxSec.
LONGEST = 5
delays = []


def inhibit(bus, _sender, _path, _interface, _method, arguments, invocation):
    held, given = os.pipe()
    fds = Gio.UnixFDList.new_from_array([given])
    if arguments.unpack()[3] == "delay":
        delays.append(held)
    invocation.return_value_with_unix_fd_list(GLib.Variant("(h)", (0,)), fds)


def sleep(bus, _sender, _path, _interface, _method, arguments, invocation):
    sleeps = arguments.unpack()[0]
    held, until = list(delays), time.monotonic() + LONGEST
    bus.emit_signal(None, PATH, MANAGER, "PrepareForSleep", GLib.Variant("(b)", (sleeps,)))
    bus.flush_sync()
    asked = bool(held)
    while sleeps and held and time.monotonic() < until:
        for let_go in select.select(held, [], [], 0.1)[0]:
            held.remove(let_go)
            delays.remove(let_go)
    invocation.return_value(GLib.Variant("(b)", (asked and (not sleeps or not held),)))


def serve(bus, _name):
    manager, lab = Gio.DBusNodeInfo.new_for_xml(XML).interfaces
    bus.register_object(PATH, manager, inhibit, None, None)
    bus.register_object("/org/lumen/Lab", lab, sleep, None, None)


Gio.bus_own_name(Gio.BusType.SYSTEM, NAME, Gio.BusNameOwnerFlags.NONE, serve, None, None)
GLib.MainLoop().run()
