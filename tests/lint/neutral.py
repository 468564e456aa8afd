"""What must not be in the repository: paths of a build machine, names of package registries' hosts, stray top-level entries.

usage: neutral.py ROOT
"""

import pathlib
import re
import subprocess
import sys

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "proto", "interpreter", "retrieval", "sandbox", "gateway", "tests",
    "deploy", "README.md", "dev", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "NOTICE",
}
# Written in pieces, so that this file does not find itself.
FORBIDDEN = [
    re.compile(pattern)
    for pattern in [
        "/" + r"work/(main|shared)", "/" + r"tmp/(wt|brief|log)/", "/" + r"root/\.",
        r"https?://(deb|registry|files|static|repo1?|proxy|index)\." + r"[a-z]",
        r"(py" + r"pi|npm" + r"js|maven\.(apache|org)|crates)\.(org|com|io)\b(?!/POM)",
    ]
]


def main():
    root = pathlib.Path(sys.argv[1])
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True)
    problems = []
    names = [name for name in listing.stdout.splitlines() if (root / name).is_file()]
    for top in sorted({name.split("/")[0] for name in names}):
        if not top.startswith(".") and top not in TOP_LEVEL:
            problems.append(f"{top}: not a top-level name of this project")
    for name in names:
        if (root / name).stat().st_size > 4_000_000 or name.startswith("tests/testdata/"):
            continue
        try:
            text = (root / name).read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if any(pattern.search(line) for pattern in FORBIDDEN):
                problems.append(f"{name}:{number}: a machine's path or a registry's host: {line.strip()[:100]}")
    for problem in problems:
        print(problem)
    print(f"{len(names)} files, {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
