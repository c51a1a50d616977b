"""A local Google Cloud Storage handles objects as the unmodified obstore expects of the real one."""

import base64
import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from xml.etree import ElementTree as ET

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, NotModifiedError, PreconditionError
from tests.patience import SOON, wait_until
from tests.servers.gcs import start_gcs
from tests.servers.gcs.asking import asked, code, names
from tests.servers.gcs.crc32c import combined, crc32c

MEBI = 1 << 20


@pytest.fixture
def gcs():
    with start_gcs(buckets=["lake"]) as service:
        yield service


@pytest.fixture
def lake(gcs):
    return gcs.store("lake", retries=0)


def test_an_object_is_put_read_and_deleted(gcs, lake):
    attributes = {"Content-Type": "text/csv", "Cache-Control": "no-store", "owner": "žluť".encode().hex()}
    put = lake.put("a/b.csv", b"hello", attributes=attributes)
    meta = lake.head("a/b.csv")
    assert put == {"e_tag": meta["e_tag"], "version": meta["version"]}
    assert put["e_tag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert put["version"] == str(gcs.generation("lake", "a/b.csv"))
    assert (meta["path"], meta["size"]) == ("a/b.csv", 5)
    assert abs(meta["last_modified"] - datetime.now(UTC)) < timedelta(seconds=SOON)
    got = lake.get("a/b.csv")
    assert (bytes(got.bytes()), got.attributes) == (b"hello", attributes)
    assert gcs.get("lake", "a/b.csv") == b"hello"
    lake.delete("a/b.csv")
    assert gcs.keys("lake") == []
    for missing in (lake.head, lake.get, lake.delete):
        with pytest.raises(FileNotFoundError, match=r"HEAD|NoSuchKey"):
            missing("a/b.csv")


def test_a_replaced_object_has_another_generation_and_its_reader_the_old_bytes(gcs, lake):
    first = lake.put("x", bytes(4 * MEBI))
    reading = iter(lake.get("x").stream(min_chunk_size=1))
    next(reading)
    second = lake.put("x", b"new")
    assert int(second["version"]) > int(first["version"])
    with pytest.raises(FileNotFoundError):
        lake.get("x", options={"version": first["version"]})
    assert bytes(lake.get("x", options={"version": second["version"]}).bytes()) == b"new"
    assert not any(any(bytes(piece)) for piece in reading)
    wait_until(lambda: len(list(gcs.folder.iterdir())) == 1)


@pytest.mark.parametrize("name", ["a b+c%20d.csv", "ž/ů/🐎", "q?x=1&y#z", "a'b\"<&>;", "x" * 1024, "a=1/b=2/~.-_"])
def test_names_are_exact(gcs, lake, name):
    lake.put(name, b"x")
    assert gcs.keys("lake") == names(lake) == [name]
    assert names(lake, prefix="/".join(name.split("/")[:-1])) == [name]
    assert bytes(lake.get(name).bytes()) == b"x"
    lake.copy(name, "copied")
    lake.delete(name)
    assert gcs.keys("lake") == ["copied"]
    assert code(asked(gcs, "GET", f"lake/{quote(name, safe='')}")) == (404, "NoSuchKey")


@pytest.mark.parametrize("name", ["/", "a//b", "a/", "%2F", "a/./b", "\x7f"])
def test_names_that_are_no_paths_are_exact_too(gcs, name):
    assert asked(gcs, "PUT", f"lake/{quote(name, safe='')}", content=b"x").status_code == 200
    assert gcs.keys("lake") == [name]
    listed = ET.fromstring(asked(gcs, "GET", "lake?list-type=2").content)
    assert [each.text for each in listed.iter() if each.tag.endswith("Key")] == [name]


def test_names_may_be_written_in_several_ways(gcs):
    assert asked(gcs, "PUT", "lake/a+b/%C5%BE=%2b", content=b"x").status_code == 200
    assert gcs.keys("lake") == ["a+b/ž=+"]
    assert asked(gcs, "GET", "l%61ke/a%2Bb%2F%c5%be%3D+").content == b"x"
    assert code(asked(gcs, "GET", "lake/%FF")) == (400, "InvalidArgument")


@pytest.mark.parametrize("name", ["x" * 1025, "a\nb", "a\rb", ".", ".."])
def test_names_that_are_not_allowed(gcs, name):
    written = "".join(f"%{byte:02X}" for byte in name.encode())
    assert code(asked(gcs, "PUT", f"lake/{written}", content=b"x")) == (400, "InvalidArgument")


def test_a_bucket_may_have_dots_and_another_is_not_there(gcs):
    gcs.new_bucket("my.bucket_1-x")
    gcs.store("my.bucket_1-x").put("x", b"1")
    assert gcs.keys("my.bucket_1-x") == ["x"]
    assert gcs.keys("lake") == []
    missing = gcs.store("missing", retries=0)
    for doing in (lambda: missing.get("x"), lambda: missing.put("x", b""), lambda: missing.delete("x")):
        with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
            doing()
    with pytest.raises(GenericError, match=r"404.*NoSuchBucket"):
        names(missing)


def test_ranges(gcs, lake):
    lake.put("x", b"0123456789")
    assert bytes(lake.get_range("x", start=2, end=5)) == b"234"
    assert bytes(lake.get_range("x", start=8, length=50)) == b"89"
    assert [bytes(each) for each in lake.get_ranges("x", starts=[0, 9], ends=[1, 10])] == [b"0", b"9"]
    assert bytes(lake.get("x", options={"range": {"offset": 7}}).bytes()) == b"789"
    assert bytes(lake.get("x", options={"range": {"suffix": 3}}).bytes()) == b"789"
    assert lake.get("x", options={"range": (2, 4)}).meta["size"] == 10
    with pytest.raises(GenericError, match="InvalidRange"):
        lake.get_range("x", start=10, end=11)
    answer = asked(gcs, "GET", "lake/x", headers={"Range": "bytes=10-"})
    assert code(answer) == (416, "InvalidRange")
    assert answer.headers["Content-Range"] == "bytes */10"
    assert asked(gcs, "GET", "lake/x", headers={"Range": "bytes=5-2"}).content == b"0123456789"


def test_conditions_of_reading(lake):
    tag = lake.put("x", b"1")["e_tag"]
    now, day = datetime.now(UTC), timedelta(days=1)
    for holds in ({"if_match": tag}, {"if_match": "*"}, {"if_none_match": '"other"'}, {"if_modified_since": now - day}):
        assert bytes(lake.get("x", options=holds).bytes()) == b"1"
    assert bytes(lake.get("x", options={"if_unmodified_since": now + day}).bytes()) == b"1"
    for unchanged in ({"if_none_match": f'"other", {tag}'}, {"if_modified_since": now + day}):
        with pytest.raises(NotModifiedError):
            lake.get("x", options=unchanged)
    for fails in ({"if_match": '"other"'}, {"if_unmodified_since": now - day}):
        with pytest.raises(PreconditionError):
            lake.get("x", options=fails)


def test_an_object_is_made_only_where_there_is_none(gcs, lake):
    first = lake.put("x", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        lake.put("x", b"2", mode="create")
    assert gcs.get("lake", "x") == b"1"
    second = lake.put("x", b"3", mode={"version": first["version"]})
    with pytest.raises(PreconditionError):
        lake.put("x", b"4", mode={"version": first["version"]})
    assert (gcs.get("lake", "x"), str(gcs.generation("lake", "x"))) == (b"3", second["version"])
    headers = {"x-goog-if-generation-match": first["version"]}
    assert code(asked(gcs, "DELETE", "lake/x", headers=headers)) == (412, "PreconditionFailed")
    assert code(asked(gcs, "GET", "lake/x", headers=headers)) == (412, "PreconditionFailed")
    assert code(asked(gcs, "PUT", "lake/x", headers={"x-goog-if-generation-match": "one"}))[0] == 400
    assert code(asked(gcs, "PUT", "lake/x", headers={"x-goog-if-metageneration-match": "2"}))[0] == 412
    assert len(list(gcs.folder.iterdir())) == 1


def test_one_of_many_makes_the_object(gcs):
    stores, won = [gcs.store("lake") for _ in range(8)], []

    def create(number):
        try:
            stores[number].put("x", str(number).encode() * 100_000, mode="create")
        except AlreadyExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert gcs.get("lake", "x") == str(won[0]).encode() * 100_000


def test_lists_come_in_pages(gcs, lake):
    every = ["a/1", "a/2", "a/b/1", "a/b/2", "a/c/1", "b", "č", "🐎"]
    for name in reversed(every):
        gcs.put("lake", name, name.encode())
    for size in (1, 2, 3, 8, 1000):
        gcs.page_size = size
        gcs.requests.clear()
        assert names(lake) == every
        assert len(gcs.requests) == -(-len(every) // size)
        assert names(lake, prefix="a/b") == ["a/b/1", "a/b/2"]
        assert names(lake, offset="a/2") == every[2:]
        within = lake.list_with_delimiter("a")
        assert within["common_prefixes"] == ["a/b", "a/c"]
        assert [meta["path"] for meta in within["objects"]] == ["a/1", "a/2"]
        assert lake.list_with_delimiter()["common_prefixes"] == ["a"]
    meta = next(iter(lake.list()))[0]
    assert (meta["size"], meta["e_tag"]) == (3, lake.head("a/1")["e_tag"])
    assert code(asked(gcs, "GET", "lake?list-type=2&max-keys=many")) == (400, "InvalidArgument")
    assert code(asked(gcs, "GET", "lake?list-type=2&continuation-token=*")) == (400, "InvalidArgument")
    assert asked(gcs, "GET", "lake?list-type=2&max-keys=0").status_code == 200


def test_a_large_object_streams_in_parts(gcs, lake):
    content = os.urandom(MEBI)
    with obstore.open_writer(lake, "big", buffer_size=8 * MEBI, attributes={"Content-Type": "text/x"}) as writer:
        for _ in range(40):
            writer.write(content)
        assert gcs.keys("lake") == []
    whole = content * 40
    assert gcs.get("lake", "big") == whole
    assert gcs.unfinished("lake") == []
    assert b"".join(map(bytes, lake.get("big"))) == whole
    assert lake.get("big").attributes["Content-Type"] == "text/x"
    assert sum(seen.method == "PUT" for seen in gcs.requests) == 5
    answer = asked(gcs, "HEAD", "lake/big")
    assert answer.headers.get_list("x-goog-hash") == [f"crc32c={base64.b64encode(crc32c(whole).to_bytes(4)).decode()}"]
    assert hashlib.md5(whole).hexdigest() not in answer.headers["ETag"]
    assert len(list(gcs.folder.iterdir())) == 1


def give_up(gcs, lake):
    with obstore.open_writer(lake, "big", buffer_size=5 * MEBI) as writer:
        writer.write(bytes(6 * MEBI))
        wait_until(lambda: gcs.unfinished("lake") == ["big"])
        raise ZeroDivisionError


def test_a_large_object_that_is_given_up_was_never_there(gcs, lake):
    with pytest.raises(ZeroDivisionError):
        give_up(gcs, lake)
    assert gcs.keys("lake") == []
    upload = begun(gcs)
    assert asked(gcs, "DELETE", f"lake/x?uploadId={upload}").status_code == 204
    assert code(asked(gcs, "DELETE", f"lake/x?uploadId={upload}")) == (404, "NoSuchUpload")
    assert code(asked(gcs, "PUT", f"lake/x?uploadId={upload}&partNumber=1", content=b"1")) == (404, "NoSuchUpload")


def begun(gcs):
    answer = asked(gcs, "POST", "lake/x?uploads")
    return next(each.text for each in ET.fromstring(answer.content) if each.tag.endswith("UploadId"))


def completed(gcs, upload, *parts):
    listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in parts)
    text = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
    return asked(gcs, "POST", f"lake/x?uploadId={upload}", content=text)


def test_parts_are_checked(gcs):
    upload = begun(gcs)
    put = {}
    for number, size in ((1, 5 * MEBI), (2, 1), (3, 1)):
        answer = asked(gcs, "PUT", f"lake/x?uploadId={upload}&partNumber={number}", content=bytes(size))
        put[number] = answer.headers["ETag"]
    assert code(asked(gcs, "PUT", f"lake/x?uploadId={upload}&partNumber=0", content=b""))[1] == "InvalidArgument"
    assert code(completed(gcs, upload, (1, put[1]), (4, put[2])))[1] == "InvalidPart"
    assert code(completed(gcs, upload, (1, put[2])))[1] == "InvalidPart"
    assert code(completed(gcs, upload))[1] == "InvalidPart"
    assert code(completed(gcs, upload, (2, put[2]), (1, put[1])))[1] == "InvalidPartOrder"
    assert code(completed(gcs, upload, *put.items()))[1] == "EntityTooSmall"
    assert code(asked(gcs, "POST", f"lake/x?uploadId={upload}", content="<"))[1] == "InvalidArgument"
    assert code(asked(gcs, "POST", f"lake/y?uploadId={upload}", content="<a/>"))[1] == "NoSuchUpload"
    answer = completed(gcs, upload, (1, put[1]), (3, put[3]))
    assert answer.status_code == 200
    assert answer.headers["x-goog-generation"] == str(gcs.generation("lake", "x"))
    assert gcs.get("lake", "x") == bytes(5 * MEBI + 1)


def test_copies_and_renames(gcs, lake):
    lake.put("a", b"1", attributes={"Content-Type": "text/csv"})
    lake.copy("a", "b")
    with pytest.raises(AlreadyExistsError):
        lake.copy("a", "b", overwrite=False)
    lake.rename("b", "c/ž")
    assert gcs.keys("lake") == ["a", "c/ž"]
    assert lake.get("c/ž").attributes["Content-Type"] == "text/csv"
    with pytest.raises(FileNotFoundError, match="missing"):
        lake.copy("missing", "b")


def test_checksums(gcs):
    assert crc32c(b"123456789") == 0xE3069283
    assert [crc32c(bytes([byte]) * 32) for byte in (0, 255)] == [0x8A9136AA, 0x62A8AB43]
    content = os.urandom(3 * MEBI + 17)
    whole = crc32c(content)
    for cut in (0, 1, 262_144, len(content)):
        first, second = content[:cut], content[cut:]
        assert crc32c(second, crc32c(first)) == combined(crc32c(first), crc32c(second), len(second)) == whole
    md5, crc = (
        base64.b64encode(hashlib.md5(b"x").digest()).decode(),
        base64.b64encode(crc32c(b"x").to_bytes(4)).decode(),
    )
    told = {"x-goog-hash": f"crc32c={crc},md5={md5}", "Content-MD5": md5}
    answer = asked(gcs, "PUT", "lake/x", content=b"x", headers=told)
    assert answer.headers.get_list("x-goog-hash") == [f"crc32c={crc}", f"md5={md5}"]
    for wrong in ({"x-goog-hash": f"crc32c={crc}"}, {"x-goog-hash": f"md5={md5}"}, {"Content-MD5": md5}):
        assert code(asked(gcs, "PUT", "lake/x", content=b"y", headers=wrong)) == (400, "BadDigest")
    assert gcs.get("lake", "x") == b"x"
    pieces = asked(gcs, "PUT", "lake/y", content=iter([b"a", b"bc" * 200_000]), headers={})
    assert (pieces.status_code, gcs.get("lake", "y")) == (200, b"a" + b"bc" * 200_000)
