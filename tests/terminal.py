"""The command line as a terminal starts it: Ctrl-C is heard, also where the tests run in the background."""

import sys

_HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
SIGNALCAM = [sys.executable, "-c", f"{_HEARD}from signalcam.cli import app; app()"]
