from __future__ import annotations

import signal
import threading

# A shell starts what runs in its background deaf to Ctrl-C, and so are all its children: tests that interrupt
# themselves or a driver would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
