"""Open3D's ray casting, imported so that it loads on a machine without libusb.

Open3D's library is linked against libusb-1.0 (for depth cameras that nobody here uses), which a bare machine does
not have. The package `libusb-package` carries that library; loading it first satisfies the link, so nothing needs
to be installed as root. `RaycastingScene` (Embree) is the only part of Open3D used: its `OffscreenRenderer` aborts
the process where there is no Vulkan.
"""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType


def open3d() -> ModuleType:
    """The `open3d` module.

    Raises:
        ImportError: Open3D is not installed, or a system library it needs is missing.
    """
    if "open3d" not in sys.modules and sys.platform == "linux":
        try:
            import libusb_package

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
        except (ImportError, OSError):
            pass  # the system's own libusb is tried next, by the import itself
    import open3d as module

    return module
