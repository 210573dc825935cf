"""The dependency, as it was."""


def make(path):
    return f"report of {path}\n"
