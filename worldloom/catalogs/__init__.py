"""What a clip is, how it lies on disk, and how it is opened safely; every other room builds on this one."""
