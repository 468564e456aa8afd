"""Cuts OpenAI's specification down to what the gateway answers, as JSON Schema.

usage: trim.py v2 OPENAPI_JSON >v2.json      OpenAI's openapi.json
       trim.py v1 FIELDS_TXT >v1.json        the list of v1's operations and fields (see README.md)

Out comes {"source", "routes": {"GET /threads/{thread_id}": schema of the 200 answer}, "events": {name: schema of its
data}, "$defs"}. What says nothing about an answer's shape (descriptions, examples, titles, x-…) is left out. Objects are
closed: a field that the specification does not list is an error. Where the service itself is known to differ, AMENDED
says how and why.
"""

import json
import re
import sys

# The routes, by what they begin with. Chat, images and the rest are not the gateway's.
ROUTES = ("/assistants", "/threads", "/vector_stores", "/files", "/uploads", "/containers", "/models")
DROPPED = {"description", "title", "example", "examples", "default", "deprecated", "discriminator", "format", "externalDocs"}

STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
NULL = {"type": "null"}


def or_null(schema):
    return {"anyOf": [schema, NULL]}


USAGE = {
    # On the wire in 2025, with prompt_token_details in the singular.
    "prompt_token_details": {"type": "object", "properties": {"cached_tokens": INTEGER}, "additionalProperties": False},
    "completion_tokens_details": {
        "type": "object", "properties": {"reasoning_tokens": INTEGER}, "additionalProperties": False},
}

# Schema -> fields that the service's answers have and the specification has not, or not so.
AMENDED = {
    "v2": {
        "RunCompletionUsage": USAGE,
        "RunStepCompletionUsage": USAGE,
        # The wire says expires_at, the specification expired_at; both are sent.
        "RunStepObject": {"expires_at": or_null(INTEGER)},
        "AssistantObject": {"reasoning_effort": or_null(STRING)},
        "RunObject": {"reasoning_effort": or_null(STRING), "tool_resources": {"type": "object"}},
        "VectorStoreObject": {"description": or_null(STRING)},
        "RunStepDetailsToolCallsFileSearchResultObject": {"attributes": {"$ref": "#/$defs/VectorStoreFileAttributes"}},
        "FileSearchRankingOptions": {"hybrid_search": or_null({"type": "object"})},
    },
    "v1": {
        # Answers under v1 had these from April 2024 on.
        "RunObject": {
            "top_p": or_null(NUMBER), "max_completion_tokens": or_null(INTEGER), "max_prompt_tokens": or_null(INTEGER),
            "truncation_strategy": {"type": "object"}, "incomplete_details": or_null({"type": "object"}),
            "response_format": {}, "tool_choice": {},
        },
        "RunCompletionUsage": USAGE,
        "RunStepCompletionUsage": USAGE,
        "RunStepObject": {"expires_at": or_null(INTEGER)},
        # A list like the others since; has_more was there at v1's time too.
        "ListFilesResponse": {"first_id": or_null(STRING), "last_id": or_null(STRING), "has_more": {"type": "boolean"}},
    },
}

# What the list of v1's fields names and does not have; as the clients of that time declare it.
V1_FUNCTION = {
    "type": "object",
    "properties": {"description": STRING, "name": STRING, "parameters": {"type": "object"}},
    "required": ["name"],
    "additionalProperties": False,
}


def without_notes(schema):
    """The schema without its notes, closed, references local. Under "properties" every key is a field's name."""
    if isinstance(schema, list):
        return [without_notes(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": "#/$defs/" + schema["$ref"].rsplit("/", 1)[1]}
    out = {}
    for key, value in schema.items():
        if key == "properties":
            out[key] = {field: without_notes(inner) for field, inner in value.items()}
        elif key == "nullable" or key in DROPPED or key.startswith("x-"):
            continue
        else:
            out[key] = without_notes(value)
    if "properties" in out:
        out.setdefault("additionalProperties", False)
    return or_null(out) if schema.get("nullable") else out


def names_in(schema, names):
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                names.add(value.rsplit("/", 1)[1])
            else:
                names_in(value, names)
    elif isinstance(schema, list):
        for item in schema:
            names_in(item, names)


def objects_of(schema):
    """The object schemas that this one may be."""
    if "properties" in schema:
        yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(word, []):
            yield from objects_of(inner)


def finish(version, source, routes, schemas):
    """Keeps what the routes and events need, amends it."""
    events = {}
    for group in ("ThreadStreamEvent", "RunStreamEvent", "RunStepStreamEvent", "MessageStreamEvent"):
        for one in schemas[group].get("oneOf") or schemas[group].get("anyOf"):
            fields = one["properties"]
            events[fields["event"]["enum"][0]] = fields["data"]
    kept, todo = {}, set()
    names_in([routes, events], todo)
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = schemas[name]
            names_in(kept[name], todo)
    for name, fields in AMENDED[version].items():
        for schema in objects_of(kept[name]):
            schema["properties"].update(fields)
    for name, schema in kept.items():
        # An empty list has no first and no last id.
        for fields in (s["properties"] for s in objects_of(schema)):
            if "first_id" in fields:
                fields.update(first_id=or_null(STRING), last_id=or_null(STRING))
    # Two objects merged would close each other out.
    for schema in kept.values():
        for parts in find(schema, "allOf"):
            for part in parts:
                for one in objects_of(part):
                    one.pop("additionalProperties", None)
    json.dump({"source": source, "routes": routes, "events": events, "$defs": dict(sorted(kept.items()))},
              sys.stdout, indent=1, ensure_ascii=False)
    print()


def find(schema, key):
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == key:
                yield value
            yield from find(value, key)
    elif isinstance(schema, list):
        for item in schema:
            yield from find(item, key)


def v2(path):
    spec = json.load(open(path))
    routes = {}
    for url, methods in spec["paths"].items():
        for method in ("get", "post", "delete"):
            content = methods.get(method, {}).get("responses", {}).get("200", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            if url.startswith(ROUTES) and schema and not url.endswith("/content"):
                routes[f"{method.upper()} {url}"] = without_notes(schema)
    files = "/vector_stores/{vector_store_id}/files/{file_id}/content"
    routes["GET " + files] = without_notes(
        spec["paths"][files]["get"]["responses"]["200"]["content"]["application/json"]["schema"])
    schemas = {name: without_notes(schema) for name, schema in spec["components"]["schemas"].items()}
    source = f"{spec['info']['title']} {spec['info']['version']}, {spec['info']['license']['name']} licence"
    finish("v2", source, routes, schemas)


# --- v1: one line a field, "  name*: type [attributes]  — description", nested by two spaces ---

def split_at_commas(text):
    parts, depth, at = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "[<(") - (c in "]>)")
        if c == "," and depth == 0:
            parts.append(text[at:i].strip())
            at = i + 1
    return parts + [text[at:].strip()]


def closing(text):
    """Where the type at the front ends."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c in "[<(") - (c in "]>)")
        if c == " " and depth == 0:
            return i
    return len(text)


def type_of(text):
    if text.startswith("$"):
        return {"$ref": "#/$defs/" + text[1:]}
    if text.startswith("enum("):
        return {"enum": text[5:-1].split("|")}
    if text.startswith("array<"):
        return {"type": "array", "items": type_of(text[6:-1])}
    if text.startswith(("oneOf[", "anyOf[")):
        return {"anyOf": [type_of(part) for part in split_at_commas(text[6:-1])]}
    if text.startswith("object<map:"):
        return {"type": "object"}
    if text in ("string", "integer", "number", "boolean", "object"):
        return {"type": text}
    return {}  # None: not said


def field_of(text):
    """A field's schema, from what follows its name."""
    text = text.split("  — ")[0].strip()
    end = closing(text)
    schema, attributes = type_of(text[:end]), text[end:].strip()
    nullable = "nullable=True" in attributes
    for name, value in re.findall(r"(maxLength|maxItems|minimum|maximum)=(\d+)", attributes):
        schema[name] = int(value)
    return or_null(schema) if nullable else schema


def v1(path):
    routes, schemas, route, source = {}, {}, None, ""
    open_objects = []  # (depth, schema) of what fields may belong to
    for line in open(path):
        line = line.rstrip("\n")
        if line.startswith("# "):
            source = line[2:]
        elif line.startswith("## "):
            route = " ".join(line[3:].split()[:2])
        elif found := re.match(r"  -> 200 application/json \$(\w+)", line):
            if route.split()[1].startswith(ROUTES):
                routes[route] = {"$ref": "#/$defs/" + found[1]}
        elif found := re.match(r"### (\w+) : (.*)", line):
            # "object [nullable=True] description"
            schema = {"oneOf": []} if found[2].startswith("oneOf[") else {"type": "object", "properties": {}, "required": []}
            nullable = "[nullable=True]" in found[2]
            schemas[found[1]] = or_null(schema) if nullable else schema
            open_objects = [(0, schema)]
        elif line.startswith("  <oneOf> ") and schemas:
            schema = {"properties": {}, "required": []}
            open_objects[0][1].setdefault("oneOf", []).append(schema)
            open_objects = [open_objects[0], (2, schema)]
        elif (found := re.match(r"( +)(\w+)(\*?): (.*)", line)) and schemas:
            depth = len(found[1])
            while open_objects[-1][0] >= depth:
                open_objects.pop()
            schema = field_of(found[4])
            parent = open_objects[-1][1]
            parent.setdefault("properties", {})[found[2]] = schema
            if found[3]:
                parent.setdefault("required", []).append(found[2])
            inner = schema["anyOf"][0] if schema.get("anyOf", [None])[-1] == NULL else schema
            open_objects.append((depth, inner))
    schemas = {"FunctionObject": V1_FUNCTION} | {name: without_notes(schema) for name, schema in schemas.items()}
    finish("v1", source, routes, schemas)


if __name__ == "__main__":
    {"v1": v1, "v2": v2}[sys.argv[1]](sys.argv[2])
