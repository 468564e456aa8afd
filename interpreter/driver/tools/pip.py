"""What stands in a session where pip, conda, uv and apt would be: says what is installed, and why no more can be.

A model that reaches for `pip install` must learn at once what to do instead; a real pip would try a network that is not
there, again and again, for a quarter of a minute. Exit code 0 when what was asked for is there already, else 1.
"""

import os
import re
import sys
from importlib import metadata

COLUMNS = 110
# Options of `pip install` that take a value, which is no package.
WITH_VALUE = {"-i", "--index-url", "--extra-index-url", "-t", "--target", "-f", "--find-links", "-c", "--constraint",
              "--prefix", "--root", "--python-version", "--platform", "--timeout", "--retries", "--trusted-host",
              "--progress-bar", "-n", "--name", "--channel"}


def installed():
    """The packages of this session, name to version."""
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(name.lower().replace("_", "-"), (name, distribution.version))
    return {name: version for name, version in sorted(found.values(), key=lambda pair: pair[0].lower())}


def version_if_satisfied(requirement):
    """The installed version when it satisfies a requirement such as "numpy>=2", else None."""
    try:
        from packaging.requirements import Requirement
        wanted = Requirement(requirement)
        version = metadata.version(wanted.name)
        return version if wanted.specifier.contains(version, prereleases=True) else None
    except Exception:  # not a requirement that we can read (a URL, a path), or no such package
        return None


def requirements(arguments):
    """The packages that an install command names."""
    names = []
    arguments = iter(arguments)
    for argument in arguments:
        if argument in ("-r", "--requirement"):
            names += read_requirements(next(arguments, ""))
        elif argument in WITH_VALUE:
            next(arguments, None)
        elif not argument.startswith("-"):
            names.append(argument)
    return names


def read_requirements(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in file]
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr)
        return [path]
    return [line for line in lines if line and not line.startswith("-")]


def wrapped(words):
    """`words` with commas between, in lines of at most COLUMNS characters."""
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > COLUMNS:
            lines.append("")
        lines[-1] += ("" if not lines[-1] else ", ") + word
    return ",\n  ".join(lines)


def install(tool, arguments):
    """Returns the exit code."""
    missing = []
    for requirement in requirements(arguments):
        version = version_if_satisfied(requirement)
        if version is None:
            missing.append(requirement)
        else:
            print(f"Requirement already satisfied: {requirement} ({version})")
    if not missing:
        return 0
    print(f"{tool}: cannot install {', '.join(missing)}: this session has no network, and its packages are fixed.",
          file=sys.stderr)
    for requirement in missing:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        try:
            print(f"  {name} {metadata.version(name)} is installed, another version cannot be had.", file=sys.stderr)
        except Exception:
            pass  # it is not there at all
    print("Use what is installed, or upload the module's source to /mnt/data and import it. Installed packages:\n  "
          + wrapped([f"{name} {version}" for name, version in installed().items()]), file=sys.stderr)
    return 1


def show(names):
    """Returns the exit code."""
    unknown = 0
    for name in names:
        try:
            facts = metadata.metadata(name)
            print(f"Name: {facts['Name']}\nVersion: {facts['Version']}\nSummary: {facts['Summary']}")
        except metadata.PackageNotFoundError:
            print(f"WARNING: Package(s) not found: {name}", file=sys.stderr)
            unknown = 1
    return unknown


def main(arguments=None):
    """As pip's own main: the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    tool = os.path.basename(os.environ.get("CARREL_INSTALLER", "pip"))
    if tool == "uv" and arguments[:1] == ["pip"]:
        del arguments[0]
    words = [argument for argument in arguments if not argument.startswith("-")]
    command = words[0] if words else ""
    if command in ("install", "add", "download", "wheel"):
        return install(tool, arguments[arguments.index(command) + 1:])
    if command == "show":
        return show(words[1:])
    if command in ("list", "freeze"):
        between = "==" if command == "freeze" else " "
        print("\n".join(f"{name}{between}{version}" for name, version in installed().items()))
        return 0
    if command == "" and {"-V", "--version"} & set(arguments):
        print("this session's packages are fixed; `pip list` names them")
        return 0
    print(f"{tool}: there is no network here, and the packages are fixed: list, freeze, show and install (of what is "
          "there) are all that works.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
