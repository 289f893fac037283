"""A WebKitGTK view that obeys JSON lines from its standard input, one answer a line.

Its argument is the folder for downloads. Debian's Python runs it, because only that one has
Debian's GObject bindings. A command is a list: the name of a method of ``View``, and its arguments.
The answer is ``[true, RESULT]``, or ``[false, REASON]``.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, Callable

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import GLib, Gtk, WebKit2  # noqa: E402

Done = Callable[[Any], None]

_PATIENCE = 60
"""Seconds until a command fails: WebKit may drop what it was asked when the page changes."""


class View:
    """A window with a web view, and another page of the window that hides it."""

    def __init__(self, downloads: Path) -> None:
        self._downloads = downloads
        self._window = Gtk.Window()
        self._stack = Gtk.Stack()
        self._stack.add_named(Gtk.Label(label="another app"), "other")
        self._window.add(self._stack)
        self._view: Any = None

    def new(self, done: Done, javascript: bool) -> None:
        """Start with a new view that knows nothing of the one before, and accepts any
        certificate."""
        if self._view:
            self._view.destroy()
        self._window.set_default_size(390, 844)
        context = WebKit2.WebContext.new_ephemeral()
        context.connect("download-started", self._save)
        manager = context.get_website_data_manager()
        manager.set_tls_errors_policy(WebKit2.TLSErrorsPolicy.IGNORE)
        self._view = WebKit2.WebView.new_with_context(context)
        self._view.get_settings().set_enable_javascript(javascript)
        self._stack.add_named(self._view, "page")
        self._window.show_all()
        self.show(done)

    def _save(self, _context: Any, download: Any) -> None:
        def choose(download: Any, name: str) -> bool:
            download.set_destination((self._downloads / name).as_uri())
            return True

        download.connect("decide-destination", choose)

    def close(self, done: Done) -> None:
        """Close the page."""
        self._view.destroy()
        self._view = None
        done(None)

    def visit(self, done: Done, url: str) -> None:
        """Load a page; the answer comes when it begins to be shown, or when that has failed."""
        self._answer_when_shown(done)
        self._view.load_uri(url)

    def back(self, done: Done) -> None:
        """Go back to the page before; the answer comes as for :meth:`visit`.

        What is evaluated between two pages may never be answered.
        """
        self._answer_when_shown(done)
        self._view.go_back()

    def _answer_when_shown(self, done: Done) -> None:
        handlers: list[int] = []

        def end(result: Any) -> None:
            while handlers:
                self._view.disconnect(handlers.pop())
            done(result)

        def on_change(_view: Any, event: Any) -> None:
            if event == WebKit2.LoadEvent.COMMITTED:
                end(None)

        def on_failure(_view: Any, _event: Any, _uri: str, error: Any) -> bool:
            end(error.message)
            return False

        handlers.append(self._view.connect("load-changed", on_change))
        handlers.append(self._view.connect("load-failed", on_failure))

    def evaluate(self, done: Done, expression: str) -> None:
        """Evaluate JavaScript; a promise is awaited."""

        def finish(view: Any, result: Any) -> None:
            try:
                value = view.call_async_javascript_function_finish(result)
            except GLib.Error as error:
                done(Failed(error.message))
            else:
                done(json.loads(value.to_string()))

        body = f"const value = await ({expression}); return JSON.stringify([value]);"
        self._view.call_async_javascript_function(body, -1, None, None, None, None, finish)

    def screenshot(self, done: Done) -> None:
        """Return what is shown, as a PNG in Base64."""

        def finish(view: Any, result: Any) -> None:
            try:
                surface = view.get_snapshot_finish(result)
            except GLib.Error as error:
                done(Failed(error.message))
                return
            png = io.BytesIO()
            surface.write_to_png(png)
            done(base64.b64encode(png.getvalue()).decode())

        region, options = WebKit2.SnapshotRegion.VISIBLE, WebKit2.SnapshotOptions.NONE
        self._view.get_snapshot(region, options, None, finish)

    def resize(self, done: Done, width: int, height: int) -> None:
        """Give the window this size."""
        self._window.resize(width, height)
        done(None)

    def hide(self, done: Done) -> None:
        """Show something else."""
        self._stack.set_visible_child_name("other")
        done(None)

    def show(self, done: Done) -> None:
        """Show the page."""
        self._stack.set_visible_child_name("page")
        done(None)


class Failed(str):
    """Why a command failed."""

    __slots__ = ()


def main() -> None:
    """Obey until the input ends."""
    # WebKit itself may print to the standard output.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    view = View(Path(sys.argv[1]))

    def obey(*_: object) -> bool:
        line = sys.stdin.readline()
        if not line:
            Gtk.main_quit()
            return False
        answered: list[bool] = []

        def done(result: Any) -> None:
            if not answered:
                answered.append(True)
                print(
                    json.dumps([not isinstance(result, Failed), result]), file=answers, flush=True
                )

        def give_up() -> bool:
            done(Failed(f"no answer for {_PATIENCE} seconds"))
            return False

        GLib.timeout_add_seconds(_PATIENCE, give_up)
        name, *arguments = json.loads(line)
        getattr(view, name)(done, *arguments)
        return True

    GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, obey)
    Gtk.main()


if __name__ == "__main__":
    main()
