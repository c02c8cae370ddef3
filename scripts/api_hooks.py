"""What the property-based client must know of the API beside its description."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """One item a line."""
    items = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Follows no log: that of a task which waits for a place never ends."""
    query = case.query
    if query and str(query.get("follow", "")).lower() not in ("", "false"):
        query.pop("follow")
