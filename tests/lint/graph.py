"""The module graph, held: every link that CMake knows is one that allowed-links.txt allows.

usage: graph.py LINKS ALLOWED ROOT

LINKS is what the build wrote: one target a line, "name<TAB>dep;dep;…". The script fails on a link that is not
allowed, on a module that ALLOWED does not list, on a line of ALLOWED that names a module which is gone, and on an
#include of FAISS, OpenVINO or Poppler outside the one place that may have it.
"""

import pathlib
import re
import sys

# How CMake's names map to the names that allowed-links.txt uses.
THIRD_PARTY = [
    (re.compile(pattern), name)
    for pattern, name in [
        (r"absl::.*", "absl"),
        # The C library's own parts, of which every module may make use.
        (r"Threads::Threads|dl|rt|m|pthread", ""),
        (r"(gRPC::|PkgConfig::GRPC).*|(.*/lib)?grpc.*", "grpc++"),
        (r"protobuf::.*", "protobuf"),
        (r"PkgConfig::(LIB)?SECCOMP|.*seccomp.*", "libseccomp"),
        (r"tomlplusplus.*|PkgConfig::TOML.*", "tomlplusplus"),
        (r"spdlog.*|fmt.*|PkgConfig::SPDLOG", "spdlog"),
        (r"prometheus-cpp.*", "prometheus-cpp"),
        (r"nlohmann_json.*", "nlohmann"),
        (r"CLI11.*", "cli11"),
        (r"CURL::.*", "curl"),
        # FAISS with what it needs itself.
        (r"(carrel_|.*/lib)?faiss.*|LAPACK::.*|BLAS::.*|OpenMP::.*|openblas", "faiss"),
        (r"SQLite.*|PkgConfig::SQLITE.*|sqlite3", "sqlite"),
        (r"(carrel_)?openvino.*", "openvino"),
        (r"ICU.*|PkgConfig::ICU.*|icu.*", "icu"),
        (r".*stemmer.*", "stemmer"),
        (r"OpenSSL.*|crypto|ssl", "openssl"),
        (r"Boost::.*", "boost"),
        (r"ZLIB.*", "zlib"),
        (r"PkgConfig::POPPLER.*|poppler.*", "poppler"),
        (r"PkgConfig::LIBPNG.*|png", "png"),
        (r"PkgConfig::GUMBO|gumbo", "gumbo"),
        (r"PkgConfig::LIBZIP|libzip.*", "libzip"),
        (r"EXPAT::EXPAT", "expat"),
        (r"Python.*", "python"),
    ]
]

# A header family, and the files that may include it.
ONE_PLACE = {
    r"#include <faiss/": r"retrieval/.*vector_index.*\.cc",
    r"#include [<\"]openvino/": r"retrieval/src/(openvino_embedder\.cc|(int8_weights|first_token)\..*)",
    r"#include [<\"]poppler": r"retrieval/extract/.*",
    r"#include <png\.h>": r"(retrieval/extract/src/png_file|tests/support/png_pixels)\.cc",
    r"#include <gumbo\.h>": r"retrieval/extract/src/html\.cc",
    r"#include <zip\.h>": r"retrieval/extract/src/office_package\.cc",
    r"#include <expat\.h>": r"retrieval/extract/src/xml\.cc",
    r"#include <seccomp\.h>": r"sandbox/src/seccomp.*\.cc",
}


def canonical(dependency):
    for pattern, name in THIRD_PARTY:
        if pattern.fullmatch(dependency):
            return name
    return dependency


def read_allowed(path):
    allowed = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if line:
            name, colon, rest = line.partition(":")
            if not colon:
                sys.exit(f"{path}:{number}: no ':' in '{line}'")
            allowed[name.strip()] = set(rest.split())
    return allowed


def main():
    links, allowed_path, root = (pathlib.Path(argument) for argument in sys.argv[1:])
    allowed = read_allowed(allowed_path)
    problems, seen = [], set()
    for line in links.read_text().splitlines():
        name, _, rest = line.partition("\t")
        seen.add(name)
        dependencies = {canonical(re.sub(r"\$<LINK_ONLY:(.*)>", r"\1", part)) for part in rest.split(";") if part}
        dependencies -= {"carrel_options", "", name}
        if name not in allowed:
            problems.append(f"{name} is not in {allowed_path.name}: add it, with what it may know")
            continue
        for extra in sorted(dependencies - allowed[name]):
            problems.append(f"{name} -> {extra} is not an edge of the graph ({allowed_path.name})")
    problems += [f"{allowed_path.name} lists {name}, which is not built" for name in sorted(allowed.keys() - seen)]
    for folder in ["sandbox", "interpreter", "retrieval", "gateway", "deploy", "proto"]:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            relative, text = path.relative_to(root).as_posix(), path.read_text()
            for include, place in ONE_PLACE.items():
                if re.search(include, text) and not re.fullmatch(place, relative):
                    problems.append(f"{relative} has {include.replace(chr(92), '')}…, which belongs only in {place}")
    for problem in problems:
        print(problem)
    print(f"{len(seen)} modules, {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
