"""One plain HTTP request to the local PostgREST, as any client could send it."""

import gzip
import http.client
import json


def ask(server, method, path, body=None, *, key=None, timeout=60, **headers):
    """Send one request; gives status, headers and the body, read as JSON where it is JSON."""
    sent = {"apikey": key or server.service_key} | {name.replace("_", "-"): text for name, text in headers.items()}
    sent = {name: text for name, text in sent.items() if text is not None}
    content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request(method, "/rest/v1/" + path, content, sent)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.headers.get("Content-Encoding") == "gzip":
        data = gzip.decompress(data)
    is_json = data and "json" in answer.headers.get("Content-Type", "")
    return answer.status, answer.headers, json.loads(data) if is_json else data.decode()
