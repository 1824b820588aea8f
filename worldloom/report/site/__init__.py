"""The pages of `worldloom inspect`: a folder that a person browses, from `file://` too; `write.py` is the way in."""
