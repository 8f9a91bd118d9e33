"""What a disk may hold after the power went: replays the journal of the interposition library.

The model is the strict reading of POSIX, harder than most file systems are:

- the bytes and size of a file are safe once an fsync or fdatasync of it, begun after they were
  written, has returned; what was written later may be there whole, in part (512-byte sectors, in any
  order), or not at all;
- a name (created, renamed, removed) is safe once its folder was synced; later changes of names may
  be lost, each folder for itself: the last ones, or any of them;
- shared-memory indexes (-shm) and sockets do not survive.

    disk = Disk(base)               # the folder as it was when the recording began
    disk.replay(record)             # everything that happened
    disk.cut(random, target)        # one possible state after the cut, written to `target`
"""

import os
import shutil
import struct

(CREATE, OPEN, WRITE, TRUNCATE, EXTEND, SYNC, SYNC_FOLDER, RENAME, UNLINK, LINK, MKDIR, RMDIR,
 UNSEEN, EXCHANGE) = range(1, 15)
HEADER = struct.Struct("<IIQQII")
SECTOR = 512


class File:
    """Bytes that are safe, and the changes since the last sync, in order."""

    def __init__(self, data=b""):
        self.safe = bytearray(data)
        self.pending = []  # (position in the record, kind, offset, bytes)

    def change(self, position, kind, offset, data=b""):
        self.pending.append((position, kind, offset, data))

    def sync(self, position):
        keep = 0
        while keep < len(self.pending) and self.pending[keep][0] < position:
            apply_change(self.safe, *self.pending[keep][1:])
            keep += 1
        del self.pending[:keep]

    def all(self):
        """As the running programs saw it."""
        data = bytearray(self.safe)
        for _, kind, offset, piece in self.pending:
            apply_change(data, kind, offset, piece)
        return data

    def after_cut(self, random):
        data = bytearray(self.safe)
        if not self.pending:
            return data
        how = random.random()
        if how < 0.35:
            return data
        if how < 0.45:
            return self.all()
        # Some of the changes completely, then sectors of those behind them, whichever.
        whole = random.randrange(len(self.pending) + 1) if random.random() < 0.6 else 0
        for _, kind, offset, piece in self.pending[:whole]:
            apply_change(data, kind, offset, piece)
        share = random.choice((0.1, 0.5, 0.9))
        for _, kind, offset, piece in self.pending[whole:]:
            if kind == TRUNCATE:
                break  # sizes that shrink are not reordered with what follows
            if kind == EXTEND:
                if random.random() < share:
                    apply_change(data, kind, offset, piece)
                continue
            for start, part in sectors(offset, piece):
                if random.random() < share:
                    apply_change(data, WRITE, start, part)
        return data


def apply_change(data, kind, offset, piece):
    if kind == WRITE:
        if len(data) < offset:
            data.extend(bytes(offset - len(data)))
        data[offset:offset + len(piece)] = piece
    elif kind == TRUNCATE:
        if offset < len(data):
            del data[offset:]
        else:
            data.extend(bytes(offset - len(data)))
    elif offset > len(data):  # EXTEND
        data.extend(bytes(offset - len(data)))


def sectors(offset, piece):
    position = 0
    while position < len(piece):
        size = min(SECTOR - (offset + position) % SECTOR, len(piece) - position)
        yield offset + position, piece[position:position + size]
        position += size


class Folder:
    """Names that are safe, names as they are, and the changes between the two in order."""

    def __init__(self):
        self.safe = {}
        self.live = {}
        self.pending = []  # (position, [(name, node or None)...]): applied together

    def change(self, position, changes):
        for name, node in changes:
            set_name(self.live, name, node)
        self.pending.append((position, changes))

    def sync(self, position):
        keep = 0
        while keep < len(self.pending) and self.pending[keep][0] < position:
            for name, node in self.pending[keep][1]:
                set_name(self.safe, name, node)
            keep += 1
        del self.pending[:keep]

    def after_cut(self, random):
        names = dict(self.safe)
        if random.random() < 0.7:  # a journaling file system: the first ones
            kept = self.pending[:random.randrange(len(self.pending) + 1)]
        else:
            kept = [each for each in self.pending if random.random() < 0.5]
        for _, changes in kept:
            for name, node in changes:
                set_name(names, name, node)
        return names


def set_name(names, name, node):
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


class Disk:
    def __init__(self, base):
        self.base = os.path.realpath(base)
        self.root = self._read(self.base)
        self.inodes = {}
        self.unseen = []

    def _read(self, path):
        folder = Folder()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    node = self._read(entry.path)
                elif entry.is_file(follow_symlinks=False) and not entry.name.endswith("-shm"):
                    with open(entry.path, "rb") as file:
                        node = File(file.read())
                else:
                    continue
                folder.safe[entry.name] = folder.live[entry.name] = node
        return folder

    # ---- replaying ----

    def _find(self, path):
        node = self.root
        for part in self._parts(path):
            node = node.live.get(part) if isinstance(node, Folder) else None
            if node is None:
                return None
        return node

    def _parts(self, path):
        rest = path[len(self.base):].strip("/")
        return rest.split("/") if rest else []

    def _parent(self, path):
        folder = self._find(os.path.dirname(path))
        return folder, os.path.basename(path)

    def _name(self, position, path, node):
        folder, name = self._parent(path)
        if folder is None:
            self.unseen.append(f"no folder for {path}")
        else:
            folder.change(position, [(name, node)])

    def replay(self, record):
        at, end = 64, len(record)
        while at + HEADER.size <= end:
            complete, kind, inode, offset, path_size, data_size = HEADER.unpack_from(record, at)
            if kind == 0:
                break  # its writer was killed before he filled it: the size is not known
            total = (HEADER.size + path_size + data_size + 15) & ~15
            start = at + HEADER.size
            path = record[start:start + path_size].decode()
            data = record[start + path_size:start + path_size + data_size]
            if complete:
                self._apply(at, kind, inode, offset, path, data)
            at += total
        return self

    def _apply(self, at, kind, inode, offset, path, data):
        if kind in (CREATE, OPEN):
            if path.endswith("-shm"):
                self.inodes[inode] = File()
            elif kind == CREATE:
                node = File()
                self._name(at, path, node)
                self.inodes[inode] = node
            else:
                node = self._find(path)
                if isinstance(node, File):
                    self.inodes[inode] = node
                else:
                    self.unseen.append(f"opened, but not known: {path}")
        elif kind in (WRITE, TRUNCATE, EXTEND):
            if inode in self.inodes:
                self.inodes[inode].change(at, kind, offset, data)
            else:
                self.unseen.append(f"changed, but never opened: inode {inode}")
        elif kind == SYNC:
            if inode in self.inodes:
                self.inodes[inode].sync(offset)
        elif kind == SYNC_FOLDER:
            node = self._find(path)
            if isinstance(node, Folder):
                node.sync(offset)
        elif kind == MKDIR:
            self._name(at, path, Folder())
        elif kind in (UNLINK, RMDIR):
            if not path.endswith("-shm"):
                self._name(at, path, None)
        elif kind in (RENAME, LINK):
            self._rename(at, path, data.decode(), kind == RENAME)
        elif kind == EXCHANGE:
            self._exchange(at, path, data.decode())
        else:
            self.unseen.append(f"cannot follow: {path}")

    def _exchange(self, at, one, other):
        """Both names in one change, as the file system's journal has it."""
        folder, name = self._parent(one)
        other_folder, other_name = self._parent(other)
        nodes = self._find(one), self._find(other)
        if folder is not other_folder or None in nodes:
            self.unseen.append(f"cannot follow the exchange of {one}")
            return
        folder.change(at, [(name, nodes[1]), (other_name, nodes[0])])

    def _rename(self, at, old, new, is_move):
        node = self._find(old)
        if node is None:
            self.unseen.append(f"renamed, but not known: {old}")
            return
        old_folder, old_name = self._parent(old)
        new_folder, new_name = self._parent(new)
        if not is_move:
            new_folder.change(at, [(new_name, node)])
        elif old_folder is new_folder:
            new_folder.change(at, [(new_name, node), (old_name, None)])
        else:
            new_folder.change(at, [(new_name, node)])
            old_folder.change(at, [(old_name, None)])

    # ---- outcomes ----

    def cut(self, random, target):
        """Writes one state the disk may be in to the folder `target`, which it replaces."""
        shutil.rmtree(target, ignore_errors=True)
        self._write(self.root, target, lambda folder: folder.after_cut(random),
                    lambda file: file.after_cut(random))

    def differences(self, path):
        """Between what the programs should see and what is at `path`: empty, if all was recorded."""
        found = list(self.unseen)
        self._compare(self.root, path, found)
        return found

    def _compare(self, folder, path, found):
        there = {}
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) or (
                        entry.is_file(follow_symlinks=False) and not entry.name.endswith("-shm")):
                    there[entry.name] = entry
        for name in sorted(set(there) | set(folder.live)):
            node, entry = folder.live.get(name), there.get(name)
            if node is None or entry is None:
                found.append(f"{os.path.join(path, name)}: "
                             f"{'not recorded' if node is None else 'recorded, not there'}")
            elif isinstance(node, Folder):
                self._compare(node, entry.path, found)
            else:
                with open(entry.path, "rb") as file:
                    if file.read() != node.all():
                        found.append(f"{entry.path}: other bytes than recorded")

    def _write(self, folder, target, names_of, bytes_of):
        os.mkdir(target, 0o700)
        for name, node in names_of(folder).items():
            path = os.path.join(target, name)
            if isinstance(node, Folder):
                self._write(node, path, names_of, bytes_of)
            else:
                with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                    file.write(bytes_of(node))
