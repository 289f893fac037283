"""``doorbelld notify`` beside a running daemon, as a user runs it in a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.ntfy_server import NtfyServer
from tests.support.passwords import set_password
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")


def notify(daemon: Daemon, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "doorbelld", "notify"]
    return subprocess.run(
        [*command, f"--set=server.listen=127.0.0.1:{daemon.port}", *options],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )


def test_readme_leads_to_a_message_with_the_picture(daemon: Daemon, tmp_path: Path) -> None:
    """The commands of its section are run by a shell, with another server and another folder."""
    section = README.partition("## Tell my phone")[2].partition("\n## ")[0]
    choose = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0].splitlines()[0]
    main = tmp_path / "doorbelld.conf"
    main.touch()
    (tmp_path / "conf.d").mkdir()
    with NtfyServer(tmp_path / "ntfy") as server:
        here = choose.replace("https://ntfy.sh", server.url).replace("sudo ", "")
        here = here.replace("/etc/doorbelld/", f"{tmp_path}/")
        done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=True)
        topic = done.stdout.strip().rpartition("/")[2]
        assert re.fullmatch(r"door-[0-9a-f]{16}", topic), done.stdout
        daemon.start(arguments=["--config", str(main)])
        eventually(lambda: daemon.request("/healthz")[0].status == 200, "a picture")
        done = notify(daemon, "--test", "--config", str(main))
        assert (done.returncode, done.stdout, done.stderr) == (0, "ntfy: delivered.\n", "")
        [message] = server.messages(topic)
        assert server.attachment(message).startswith(b"\xff\xd8")
    daemon.stop()


def test_one_sentence_says_why_not_and_then_since_when(daemon: Daemon) -> None:
    place = f"127.0.0.1:{free_port()}"
    setting = f"--set=notify.ntfy=http://{place}/mArKeR"
    daemon.start({"notify.ntfy": f"http://{place}/mArKeR"})
    done = notify(daemon, setting, "--test")
    assert done.returncode == 1
    why = f"{place} does not listen at that port; check that it runs, and the port.\n"
    assert done.stdout == f"ntfy: {why}"
    done = notify(daemon, setting)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"ntfy: failed since [\d: -]+ \(0 delivered, 0 failed, 0 dropped\): {why}", done.stdout
    )


def test_with_nothing_configured_one_sentence_says_what_to_do(daemon: Daemon) -> None:
    daemon.start()
    for options in ([], ["--test"]):
        done = notify(daemon, *options)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("ERROR: Nothing is notified when the bell rings: set ntfy")
        assert len(done.stderr.splitlines()) == 1


def test_without_a_daemon_one_sentence_says_so(daemon: Daemon) -> None:
    daemon.port = free_port()
    done = notify(daemon, "--test")
    assert (done.returncode, done.stdout) == (3, "")
    assert "doorbelld is not running: nothing answers at port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_user_that_may_not_read_the_password_is_shown_this_command(
    daemon: Daemon, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    set_password(password, "a word")
    daemon.start({"access.password_file": password})
    done = notify(daemon, "--test")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.endswith("whose file only root may read: sudo doorbelld notify --test\n")
    done = notify(daemon, "--test", f"--set=access.password_file={password}")
    assert done.returncode == 1
    assert "Nothing is notified" in done.stderr
