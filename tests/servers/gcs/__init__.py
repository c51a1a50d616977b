"""A local Google Cloud Storage for tests, written from the documented protocol: the XML API, and tokens of OAuth.

    with start_gcs(buckets=["lake"]) as service:
        GCSStore("lake", service_account_key=service.owner, client_options={"allow_http": True})  # or:
        service.store("lake")
        service.reader, service.creator, service.nobody       # keys of accounts with fewer rights; all are JSON
        service.forged                                        # the owner's address and key id, and a wrong secret
        service.key("get", "create")                          # any rights: get, list, create, delete
        service.new_bucket(), service.put(…), service.get(…), service.keys(…), service.unfinished(…)
        service.page_size = 2                                 # a page of a list
        service.requests                                      # what was asked, by whom, and what came of it
        service.faults.cut_upload(after=1000)                 # what can go wrong: `faults.py`

How a client comes here: a key names this service as its `token_uri` and, what keys of Google do not, as its
`gcs_base_url`, which obstore obeys; `service.key(…, base_url=False)` leaves that out, for a client that is told
`base_url=service.endpoint`. As this is plain HTTP, obstore needs `client_options={"allow_http": True}`. It signs a
token with the key by itself, never asks `token_uri`, and does not renew a token that is refused; google-auth asks.

Names are exact; objects, also of hundreds of megabytes, are files, and become visible at once or not at all. A request
that the documentation does not know, or with a condition that it does not promise, is answered with 501 and fails
the test at its end.

`faults` are: one of the documented codes as an answer (`answer`), a connection cut in an upload or a download
(`cut_upload`, `cut_download`), an answer that is lost (`drop_answer`), `delay`, a slow body (`rate`), `frozen`, and
tokens that are refused after some uses (`token_uses`) or that run out (`token_lifetime`).

What it does not do: the JSON API, signed URLs, HMAC keys, versions of objects that were replaced, ACLs (rights are
those of an account in all buckets), making buckets by request, encryption keys, transcoding of gzip, several ranges in
one request, the list of parts and of uploads, HTTP/2, TLS, and any limit of rates by itself.
"""

from .faults import Faults
from .service import Service, start_gcs
from .web import Seen

__all__ = ["Faults", "Seen", "Service", "start_gcs"]
