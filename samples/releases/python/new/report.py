"""The dependency's next version: it asks another program."""

import subprocess


def make(path):
    date = subprocess.run(["date", "-u", "+%F"], capture_output=True, check=True, text=True).stdout
    return f"report of {path} on {date}"
