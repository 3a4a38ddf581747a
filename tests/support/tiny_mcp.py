"""A small MCP server on standard input and output, run as a program.

It writes the name of each called tool to the file `calls` of its folder.
"""

import sys

import msgspec

TOOLS = [
    {
        "name": "add",
        "description": "Adds.",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
    {"name": "now", "description": "Says when.", "inputSchema": {"type": "object"}},
    {"name": "fail", "description": "Fails.", "inputSchema": {"type": "object"}},
    {"name": "picture." + "x" * 70, "description": "Shows.", "inputSchema": {"type": "object"}},
]


def result(name, arguments):
    if name == "add":
        return {"content": [{"type": "text", "text": str(arguments["a"] + arguments["b"])}]}
    if name == "now":
        return {"content": [{"type": "text", "text": "It is noon."}]}
    if name == "fail":
        return {"isError": True, "content": [{"type": "text", "text": "It failed: no disk."}]}
    return {"content": [{"type": "text", "text": "A long name."}]}


for line in sys.stdin:
    message = msgspec.json.decode(line)
    method, answer = message.get("method"), {}
    if "id" not in message:
        continue
    if method == "initialize":
        answer = {
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "tiny", "version": "1"},
        }
    elif method == "tools/list":
        answer = {"tools": TOOLS}
    elif method == "tools/call":
        with open("calls", "a") as log:
            log.write(message["params"]["name"][:10] + "\n")
        answer = result(message["params"]["name"], message["params"].get("arguments"))
    reply = {"jsonrpc": "2.0", "id": message["id"], "result": answer}
    sys.stdout.write(msgspec.json.encode(reply).decode() + "\n")
    sys.stdout.flush()
