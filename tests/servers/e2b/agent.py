"""The first process of a sandbox: it starts commands and touches files there, as the service asks on a socket.

It runs inside of the sandbox's namespaces, so that a path means what a command there would see. Where a machine has no
namespaces it runs outside, and `ROOT` is put before each path. When the socket ends, so does every process here.

    agent.py DESCRIPTOR HOME [ROOT]
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import time

BE_REAPER = 36  # PR_SET_CHILD_SUBREAPER
CODES = {
    FileNotFoundError: "not_found",
    FileExistsError: "already_exists",
    NotADirectoryError: "invalid_argument",
    IsADirectoryError: "invalid_argument",
    PermissionError: "permission_denied",
    ProcessLookupError: "not_found",
}
KINDS = {stat.S_IFREG: "FILE_TYPE_FILE", stat.S_IFDIR: "FILE_TYPE_DIRECTORY"}


def send(sock, message, fds=()):
    data = json.dumps(message).encode()
    data = struct.pack(">I", len(data)) + data
    sent = socket.send_fds(sock, [data], list(fds))
    sock.sendall(data[sent:])


def receive(sock):
    """Return the next message and the descriptors that came with it, or None at the end."""
    head, fds, _flags, _address = socket.recv_fds(sock, 4, 3)
    if not head:
        return None
    head += _exactly(sock, 4 - len(head))
    return json.loads(_exactly(sock, *struct.unpack(">I", head))), fds


def _exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return bytes(data)


class Agent:
    def __init__(self, sock, home, root):
        self.sock, self.home, self.root = sock, home, root

    def place(self, path):
        """Return the host's path for a path of the sandbox."""
        whole = os.path.normpath(os.path.join(self.home, path))
        return whole if whole.startswith(self.root + "/") else self.root + whole

    def shown(self, path):
        return path.removeprefix(self.root) or "/"

    def answer(self, message, fds):
        number, do = message.pop("id"), message.pop("do")
        given = []
        try:
            reply = {"id": number, "ok": getattr(self, "do_" + do)(fds, given, **message)}
        except OSError as error:
            code = next((code for kind, code in CODES.items() if isinstance(error, kind)), "internal")
            path = self.shown(error.filename) if error.filename else ""
            reply = {"id": number, "error": code, "message": f"{do} {path}: {error.strerror}"}
        send(self.sock, reply, given)
        for fd in (*fds, *given):
            os.close(fd)

    def do_spawn(self, fds, _given, argv, env, cwd):
        place = self.place(cwd)
        if not os.path.isdir(place):
            raise NotADirectoryError(20, "the working directory does not exist", place)
        pid = os.fork()
        if pid == 0:
            _become(argv, env, place, fds)
        return pid

    def do_signal(self, _fds, _given, pid, number):
        os.kill(pid, number)

    def do_signal_all(self, _fds, _given, number):
        for pid in self.everybody():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def everybody(self):
        """Return all processes below; in a separate namespace, -1 means all of them at once."""
        if os.getpid() == 1:
            return [-1]
        found, parents = [], [os.getpid()]
        while parents:
            children = [child for parent in parents for child in _children(parent)]
            found += children
            parents = children
        return found

    def do_read(self, _fds, given, path):
        place = self.place(path)
        fd = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        given.append(fd)
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(21, "it is a directory", place)
        return found.st_size

    def do_write(self, _fds, given, path):
        place = self.place(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        given.append(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))
        return self.shown(place)

    def do_stat(self, _fds, _given, path):
        return self.entry(self.place(path))

    def do_list(self, _fds, _given, path, depth):
        place = self.place(path)
        if not os.path.isdir(place) and os.path.lexists(place):
            raise NotADirectoryError(20, "it is not a directory", place)
        return self.listed(place, max(depth, 1))

    def listed(self, place, depth):
        entries = []
        for name in sorted(os.listdir(place)):
            below = os.path.join(place, name)
            entries.append(self.entry(below))
            if depth > 1 and os.path.isdir(below) and not os.path.islink(below):
                entries += self.listed(below, depth - 1)
        return entries

    def do_mkdir(self, _fds, _given, path):
        place = self.place(path)
        os.makedirs(place)
        return self.entry(place)

    def do_move(self, _fds, _given, source, destination):
        os.rename(self.place(source), self.place(destination))
        return self.entry(self.place(destination))

    def do_remove(self, _fds, _given, path):
        place = self.place(path)
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)

    def entry(self, place):
        own, target = os.lstat(place), None
        is_link = stat.S_ISLNK(own.st_mode)
        if is_link:
            target = self.shown(os.path.realpath(place))
        found = os.stat(place) if os.path.exists(place) else own
        told = {
            "name": os.path.basename(place),
            "type": KINDS.get(stat.S_IFMT(found.st_mode), "FILE_TYPE_UNSPECIFIED"),
            "path": self.shown(place),
            "size": str(found.st_size),
            "mode": stat.S_IMODE(found.st_mode),
            "permissions": stat.filemode(own.st_mode),
            "owner": "user",
            "group": "user",
            "modifiedTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.st_mtime)),
            "isSymlink": is_link,
        }
        return told | ({"symlinkTarget": target} if is_link else {})


def _become(argv, env, place, fds):
    """Become the command, in the child after the fork; never returns."""
    try:
        os.chdir(place)
        kept = [os.dup(fd) for fd in fds]
        for target, fd in enumerate(kept):
            os.dup2(fd, target)
        os.closerange(3, 4096)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execve(argv[0], argv, env)
    finally:
        os._exit(127)


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listed:
            return [int(one) for one in listed.read().split()]
    except OSError:
        return []


def _reap(sock):
    """Report each process that ended; orphans are reported too, but the service does not know them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            send(sock, {"exit": pid, "code": os.waitstatus_to_exitcode(status)})


def _serve(agent, sock):
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([sock, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _reap(sock)
        if sock in ready:
            asked = receive(sock)
            if asked is None:
                return
            agent.answer(*asked)


def _end_all(agent):
    """Kill all processes; in a namespace's first process, the kernel does that at its exit."""
    while os.getpid() != 1 and agent.everybody():
        agent.do_signal_all((), [], signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


def main(descriptor, home, root=""):
    ctypes.CDLL(None).prctl(BE_REAPER, 1, 0, 0, 0)
    os.umask(0o022)
    sock = socket.socket(fileno=int(descriptor))
    sock.setblocking(True)
    os.set_inheritable(sock.fileno(), False)
    agent = Agent(sock, home, root)
    try:
        with contextlib.suppress(EOFError, ConnectionError):
            send(sock, {"ready": os.getpid()})
            _serve(agent, sock)
    finally:
        _end_all(agent)


if __name__ == "__main__":
    main(*sys.argv[1:])
